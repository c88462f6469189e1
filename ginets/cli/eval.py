"""`ginets eval TASK …`: score a file of predictions alone, without a model."""

from . import eval_math, eval_nlg, eval_squad
from .command import add_verb, new_app


EXAMPLES = """
ginets eval squad dev-v2.0.json predictions.json --na-prob-file null_odds.json
ginets eval nlg --task e2e E2E/test.csv e2e.jsonl
ginets eval math gsm8k/test.jsonl generations.jsonl --json
"""
TASKS = {"squad": eval_squad, "nlg": eval_nlg, "math": eval_math}

APP = new_app("Score a file of predictions.", EXAMPLES)
for _name, _task in TASKS.items():
    add_verb(APP, _name, _task.main, _task.EXAMPLES, program="ginets eval")

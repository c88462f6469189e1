"""`ginets eval math`: word problems, and the labels of the commonsense sets."""

import json as as_json
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from ..data.records import check_object, keep, read_records
from ..data.tabular import DataError, check_text
from ..metrics.accuracy import accuracy
from ..metrics.math_answers import RULES, WAYS, rule_for
from .command import Json
from .figures import print_figures


EXAMPLES = """
ginets eval math gsm8k/test.jsonl generations.jsonl
ginets eval math gsm8k/test.jsonl generations.jsonl --train gsm8k/train.jsonl --details found.jsonl --json
"""


def main(
    data: Annotated[
        str,
        Argument(
            metavar="DATA",
            help="Problems with gold answers: GSM8K's .jsonl, a .json of LLM-Adapters, AQuA's .jsonl.",
        ),
    ],
    generations: Annotated[
        str, Argument(metavar="GENERATIONS", help=".jsonl with id and text, as `ginets generate` writes it.")
    ],
    task: Annotated[
        Literal[tuple(RULES)] | None,
        Option(help="Data set, and with it the rule.", show_default="as the gold answers are"),
    ] = None,
    rule: Annotated[Literal[WAYS], Option(help="How answers are found.")] = WAYS[0],
    train: Annotated[
        list[str] | None,
        Option(metavar="FILE ...", help="What was trained on: warns of shared questions."),
    ] = None,
    details: Annotated[
        Path | None,
        Option(metavar="FILE", help="Write id, gold, found and correct of each problem (.jsonl)."),
    ] = None,
    json: Json = False,
) -> None:
    """Word problems: answers found in texts that reason.

    Accuracy in percent with its 95 % interval; with --train also over the questions that were not trained on.
    """
    from ..data.arithmetic import read_problems
    from ..data.leak import check_leak, read_questions

    problems = read_problems(data)
    texts = read_generations(generations, problems)
    report = None
    if train:
        trained = [question for path in train for question in read_questions(path)]
        report = check_leak(trained, read_questions(data))  # as they stand there: `problems` may have choices added
    task = task or rule_for([problem.answer for problem in problems])
    rows = [score(problem, texts[problem.id], task, rule) for problem in problems]
    if details:
        lines = [as_json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        details.write_text("".join(lines), encoding="utf-8")
    figures = accuracy([row["correct"] for row in rows])
    figures["without_answer"] = sum(row["found"] is None for row in rows)
    if report is not None:
        figures |= leak_figures(report, [row["correct"] for row in rows])
    else:
        print(
            "ginets eval math: without --train no look was taken for questions that were trained on", file=sys.stderr
        )
    print_figures(figures, json)


def score(problem, text: str, task: str, way: str) -> dict:
    """What was found in the text generated for a `Problem`, and whether it is right."""
    from ..data.templates import ALPACA

    rule = RULES[task]
    gold = rule.gold(problem.answer)
    if gold is None:
        raise DataError(f"the answer of problem {problem.id!r} is {problem.answer!r}; that is none of --task {task}.")
    found = rule.find(ALPACA.answer(text), way)
    return {"id": problem.id, "gold": gold, "found": found, "correct": found is not None and rule.equal(found, gold)}


def leak_figures(report, hits: list[bool]) -> dict[str, float]:
    """Counts, and the accuracy over what is left; a warning where something is shared."""
    shared = {pair.test_row - 1 for pair in report.pairs}
    figures = {"shared_exact": report.exact, "shared_fuzzy": report.fuzzy}
    if shared:
        print(f"ginets eval math: warning: {report}; `ginets check-leak` shows them", file=sys.stderr)
        if rest := [hit for row, hit in enumerate(hits) if row not in shared]:
            figures |= {f"not_shared_{name}": value for name, value in accuracy(rest).items()}
    return figures


def read_generations(path: str, problems: list) -> dict[str, str]:
    """Id → generated text, one for each `Problem`.

    Raises:
        DataError: an id is missing, unknown or there twice.
    """
    known = {problem.id for problem in problems}
    texts: dict[str, str] = {}

    def parse(record: object):
        record = check_object(record)
        if missing := [name for name in ("id", "text") if name not in record]:
            raise DataError(f'there is no {missing[0]!r}; a generation is {{"id": "0", "text": "…"}}.')
        name = str(record["id"])
        if name not in known:
            raise DataError(f"there is no problem {name!r}; ids are those of the data, or number its rows from 0.")
        if name in texts:
            raise DataError(f"id {name!r} occurs twice.")
        check_text(record["text"], "text")
        texts[name] = record["text"]

    keep(read_records(path), parse, path)
    if missing := [problem.id for problem in problems if problem.id not in texts]:
        raise DataError(f"{path}: {len(missing)} of {len(problems)} problems have no text, e.g. {missing[0]!r}.")
    return texts

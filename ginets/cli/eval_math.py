"""`ginets eval math`: word problems, and the labels of the commonsense sets."""

import argparse
import json
import sys
from pathlib import Path

from ..data.arithmetic import Problem, read_problems
from ..data.leak import check_leak, read_questions
from ..data.records import check_object, keep, read_records
from ..data.tabular import DataError, check_text
from ..data.templates import ALPACA
from ..metrics.accuracy import accuracy
from ..metrics.math_answers import RULES, WAYS, rule_for


def math_arguments(parser: argparse.ArgumentParser):
    parser.add_argument(
        "data", help="problems with gold answers: GSM8K's .jsonl, a .json of LLM-Adapters, AQuA's .jsonl"
    )
    parser.add_argument("generations", help=".jsonl with id and text, as `ginets generate` writes it")
    parser.add_argument(
        "--task", choices=tuple(RULES), help="data set, and with it the rule [default: as gold answers are]"
    )
    parser.add_argument("--rule", choices=WAYS, default=WAYS[0], help="how answers are found [default: ours]")
    parser.add_argument("--train", nargs="+", metavar="FILE", help="what was trained on: warns of shared questions")
    parser.add_argument("--details", metavar="FILE", help="write id, gold, found and correct of each problem (.jsonl)")


def math(options: argparse.Namespace) -> dict[str, float]:
    """Accuracy in percent with its 95 % interval; with --train also over the questions that were not trained on."""
    problems = read_problems(options.data)
    texts = read_generations(options.generations, problems)
    report = None
    if options.train:
        trained = [question for path in options.train for question in read_questions(path)]
        report = check_leak(trained, [problem.question for problem in problems])
    task = options.task or rule_for([problem.answer for problem in problems])
    rows = [score(problem, texts[problem.id], task, options.rule) for problem in problems]
    if options.details:
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        Path(options.details).write_text("".join(lines), encoding="utf-8")
    figures = accuracy([row["correct"] for row in rows])
    figures["without_answer"] = sum(row["found"] is None for row in rows)
    if report is not None:
        figures |= leak_figures(report, [row["correct"] for row in rows])
    return figures


def score(problem: Problem, text: str, task: str, way: str) -> dict:
    """What was found in a generated text, and whether it is right."""
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
        print(f"ginets eval: warning: {report}; `ginets check-leak` shows them", file=sys.stderr)
        if rest := [hit for row, hit in enumerate(hits) if row not in shared]:
            figures |= {f"not_shared_{name}": value for name, value in accuracy(rest).items()}
    return figures


def read_generations(path: str, problems: list[Problem]) -> dict[str, str]:
    """Id → generated text, one for each problem.

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

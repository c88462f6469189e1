"""`ginets check-leak TRAIN TEST`: questions of TEST that are in TRAIN, or nearly."""

import json as as_json
from typing import Annotated

from typer import Argument, Option

from ..data.leak import NGRAM, THRESHOLD
from .command import Json


EXAMPLES = """
ginets check-leak gsm8k/train.jsonl gsm8k/test.jsonl
ginets check-leak alpaca.json test.json --column instruction --json --strict
"""


def main(
    train: Annotated[str, Argument(metavar="TRAIN", help="What was trained on.")],
    test: Annotated[str, Argument(metavar="TEST", help="What is to be reported on.")],
    column: Annotated[
        str | None,
        Option(help="That is compared.", show_default="question, instruction with input, prompt, text, …"),
    ] = None,
    threshold: Annotated[float, Option(help="Least Jaccard similarity of nearly equal questions.")] = THRESHOLD,
    ngram: Annotated[int, Option(help="Characters of an n-gram.")] = NGRAM,
    ignore_digits: Annotated[
        bool, Option("--ignore-digits", help="What differs in numbers alone is the same.")
    ] = False,
    pairs: Annotated[int, Option(help="Pairs to print; --json has all.")] = 10,
    json: Json = False,
    strict: Annotated[bool, Option("--strict", help="Exit code 1 where something is shared.")] = False,
) -> int:
    """Find questions that two files share.

    Files are .json, .jsonl, .parquet, .csv or .txt. Case, punctuation and white space mean nothing; nearly equal are
    questions whose character n-grams overlap.
    """
    from ..data.leak import check_leak, read_questions

    questions = (read_questions(path, column) for path in (train, test))
    report = check_leak(*questions, threshold, ngram, ignore_digits)
    if json:
        print(as_json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        print_pairs(report, pairs)
    return int(strict and bool(report))


def print_pairs(report, most: int):
    for pair in report.pairs[: max(0, most)]:
        print(f"{pair.kind} {pair.similarity:.2f}  test row {pair.test_row}, train row {pair.train_row}")
        print(f"  test   {' '.join(pair.test.split())}\n  train  {' '.join(pair.train.split())}")
    if (more := len(report.pairs) - max(0, most)) > 0:
        print(f"… and {more} more pairs; --json has all")
    print(report)

"""`ginets check-leak TRAIN TEST`: questions of TEST that are in TRAIN, or nearly."""

import argparse
import json

from .errors import in_one_line


DESCRIPTION = """Compare two files of questions (.json, .jsonl, .parquet, .csv, .txt). Case, punctuation and white space
mean nothing; nearly equal are questions whose character n-grams overlap."""


def main(arguments: list[str]) -> int:
    """Exit code 0, or with --strict 1 where something is shared; 2 for bad input."""
    from ..data.leak import NGRAM, THRESHOLD, check_leak, read_questions

    parser = argparse.ArgumentParser("ginets check-leak", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("train", help="what was trained on")
    parser.add_argument("test", help="what is to be reported on")
    parser.add_argument(
        "--column", help="that is compared [default: question, instruction with input, prompt, text, …]"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        help=f"least Jaccard similarity of nearly equal questions [default: {THRESHOLD}]",
    )
    parser.add_argument("--ngram", type=int, default=NGRAM, help=f"characters of an n-gram [default: {NGRAM}]")
    parser.add_argument("--ignore-digits", action="store_true", help="what differs in numbers alone is the same")
    parser.add_argument("--pairs", type=int, default=10, help="pairs to print [default: 10]")
    parser.add_argument("--json", action="store_true", help="print counts and all pairs as JSON")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where something is shared")
    options = parser.parse_args(arguments)
    with in_one_line(parser):
        train, test = (read_questions(path, options.column) for path in (options.train, options.test))
        report = check_leak(train, test, options.threshold, options.ngram, options.ignore_digits)
    if options.json:
        print(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        print_pairs(report, options.pairs)
    return int(options.strict and bool(report))


def print_pairs(report, most: int):
    for pair in report.pairs[: max(0, most)]:
        print(f"{pair.kind} {pair.similarity:.2f}  test row {pair.test_row}, train row {pair.train_row}")
        print(f"  test   {' '.join(pair.test.split())}\n  train  {' '.join(pair.train.split())}")
    if (more := len(report.pairs) - max(0, most)) > 0:
        print(f"… and {more} more pairs; --json has all")
    print(report)

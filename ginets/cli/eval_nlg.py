"""`ginets eval nlg`: E2E, WebNLG and DART."""

import argparse
import sys

from ..data.nlg import CATEGORIES, distinct, read_predictions, read_rows
from ..metrics.nlg import TASKS, evaluate


def nlg_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("--task", choices=tuple(TASKS), required=True, help="data set, and with it figures and form")
    parser.add_argument("data", help="published file with references: e2e .csv, webnlg .json, dart .json")
    parser.add_argument(
        "predictions", help="text, one per line in the order of distinct inputs, or .jsonl: id and text"
    )
    parser.add_argument(
        "--filter", choices=CATEGORIES, default="all", help="WebNLG: score all categories, seen or unseen ones"
    )
    parser.add_argument(
        "--max-references",
        type=int,
        help="references per input that count, 0 for all [default: as published, 6 for webnlg and dart, all for e2e]",
    )


def nlg(options: argparse.Namespace) -> dict[str, float]:
    """The official figures; those that cannot be computed here are named on stderr."""
    if options.filter != "all" and options.task != "webnlg":
        raise ValueError(f"--filter {options.filter}: only WebNLG knows seen and unseen categories.")
    if (options.max_references or 0) < 0:
        raise ValueError(f"--max-references is {options.max_references}; it must be 0 (all) or more.")
    rows = read_rows(options.task, options.data)
    items, kept = distinct(rows), distinct(rows, options.filter)
    if not kept:
        raise ValueError(f"{options.data}: no input belongs to {options.filter} categories.")
    texts = read_predictions(options.predictions, items, kept)
    references = [item.references for item in kept]
    figures, refused = evaluate(options.task, texts, references, options.max_references)
    for name, reason in refused.items():
        print(f"ginets eval: {name} is not computed: {reason}", file=sys.stderr)
    if not figures:
        raise ValueError(f"no figure of {options.task} can be computed here.")
    if empty := sum(not text.strip() for text in texts):
        print(f"ginets eval: {empty} of {len(texts)} predictions are empty", file=sys.stderr)
    return figures

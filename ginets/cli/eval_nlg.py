"""`ginets eval nlg`: E2E, WebNLG and DART."""

import sys
from typing import Annotated, Literal

from typer import Argument, Option

from ..data.nlg import CATEGORIES
from ..metrics.nlg import TASKS
from .command import Json
from .figures import print_figures


EXAMPLES = """
ginets eval nlg --task e2e E2E/test.csv e2e.jsonl
ginets eval nlg --task webnlg webnlg/test.json texts.txt --filter unseen --json
"""


def main(
    data: Annotated[
        str, Argument(metavar="DATA", help="Published file with references: e2e .csv, webnlg .json, dart .json.")
    ],
    predictions: Annotated[
        str,
        Argument(
            metavar="PREDICTIONS", help="Text, one per line in the order of distinct inputs, or .jsonl: id and text."
        ),
    ],
    task: Annotated[Literal[tuple(TASKS)], Option(help="Data set, and with it figures and form.")],
    filter: Annotated[
        Literal[CATEGORIES], Option(help="WebNLG: score all categories, seen or unseen ones.")
    ] = CATEGORIES[0],
    max_references: Annotated[
        int | None,
        Option(
            metavar="N",
            help="References per input that count, 0 for all.",
            show_default="as published, 6 for webnlg and dart, all for e2e",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """E2E, WebNLG, DART: BLEU, METEOR, TER and others.

    The figures are those of the official scripts; those that cannot be computed here are named on stderr.
    """
    print_figures(score(task, data, predictions, filter, max_references), json)


def score(task: str, data: str, predictions: str, categories: str, max_references: int | None) -> dict[str, float]:
    """The official figures; those that cannot be computed here are named on stderr."""
    from ..data.nlg import distinct, read_predictions, read_rows
    from ..metrics.nlg import evaluate

    if categories != "all" and task != "webnlg":
        raise ValueError(f"--filter {categories}: only WebNLG knows seen and unseen categories.")
    if (max_references or 0) < 0:
        raise ValueError(f"--max-references is {max_references}; it must be 0 (all) or more.")
    rows = read_rows(task, data)
    items, kept = distinct(rows), distinct(rows, categories)
    if not kept:
        raise ValueError(f"{data}: no input belongs to {categories} categories.")
    texts = read_predictions(predictions, items, kept)
    references = [item.references for item in kept]
    figures, refused = evaluate(task, texts, references, max_references)
    for name, reason in refused.items():
        print(f"ginets eval nlg: {name} is not computed: {reason}", file=sys.stderr)
    if not figures:
        raise ValueError(f"no figure of {task} can be computed here.")
    if empty := sum(not text.strip() for text in texts):
        print(f"ginets eval nlg: {empty} of {len(texts)} predictions are empty", file=sys.stderr)
    return figures

"""`ginets eval squad`: the official figures."""

from typing import Annotated, Literal

from typer import Argument, Option

from ..data.tabular import DataError
from .command import Json
from .figures import print_figures


EXAMPLES = """
ginets eval squad dev-v1.1.json predictions.json
ginets eval squad dev-v2.0.json predictions.json --na-prob-file null_odds.json --json
"""


def main(
    data: Annotated[
        str, Argument(metavar="DATA", help="Official JSON, or .csv, .json, .jsonl with the columns id and answers.")
    ],
    predictions: Annotated[str, Argument(metavar="PREDICTIONS", help="predictions.json: question id → answer text.")],
    na_prob_file: Annotated[
        str | None,
        Option(metavar="FILE", help="null_odds.json: question id → no-answer score; finds best thresholds."),
    ] = None,
    na_prob_thresh: Annotated[
        float | None,
        Option(metavar="N", help="Count as no answer what scores higher.", show_default="1.0, as officially"),
    ] = None,
    squad_version: Annotated[
        Literal["1.1", "2.0"] | None,
        Option(help="Rules to score by.", show_default="as the data and options ask"),
    ] = None,
    json: Json = False,
) -> None:
    """SQuAD 1.1 and 2.0: exact match, F1, best thresholds."""
    print_figures(score(data, predictions, na_prob_file, na_prob_thresh, squad_version), json)


def score(
    data: str, predictions: str, na_prob_file: str | None, na_prob_thresh: float | None, squad_version: str | None
) -> dict[str, float]:
    """The official figures."""
    from ..data.squad import read_golds, read_predictions
    from ..metrics.squad import evaluate_v1, evaluate_v2

    golds, version_2 = read_golds(data)
    answers = read_predictions(predictions)
    asks_2 = na_prob_file is not None or na_prob_thresh is not None
    if squad_version == "1.1" and asks_2:
        raise DataError("--na-prob-file and --na-prob-thresh belong to SQuAD 2.0; leave out --squad-version 1.1.")
    if na_prob_thresh is not None and na_prob_file is None:
        raise DataError("--na-prob-thresh needs --na-prob-file.")
    if squad_version == "2.0" or (squad_version is None and (version_2 or asks_2)):
        na_probs = read_predictions(na_prob_file, float) if na_prob_file else None
        return evaluate_v2(golds, answers, na_probs, 1.0 if na_prob_thresh is None else na_prob_thresh)
    return evaluate_v1(golds, answers)

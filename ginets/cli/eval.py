"""`ginets eval TASK …`: score a file of predictions alone, without a model."""

import argparse
import json
import sys

from ..data.squad import read_golds, read_predictions
from ..data.tabular import DataError
from ..metrics.squad import evaluate_v1, evaluate_v2
from .eval_math import math, math_arguments
from .eval_nlg import nlg, nlg_arguments


def squad_arguments(parser: argparse.ArgumentParser):
    parser.add_argument("data", help="official JSON, or .csv, .json, .jsonl with the columns id and answers")
    parser.add_argument("predictions", help="predictions.json: question id → answer text")
    parser.add_argument("--na-prob-file", help="null_odds.json: question id → no-answer score; finds best thresholds")
    parser.add_argument(
        "--na-prob-thresh", type=float, help="count as no answer what scores higher [default: 1.0, as officially]"
    )
    parser.add_argument(
        "--squad-version", choices=("1.1", "2.0"), help="rules to score by [default: as the data and options ask]"
    )


def squad(options: argparse.Namespace) -> dict[str, float]:
    """The official figures."""
    golds, version_2 = read_golds(options.data)
    predictions = read_predictions(options.predictions)
    asks_2 = options.na_prob_file is not None or options.na_prob_thresh is not None
    if options.squad_version == "1.1" and asks_2:
        raise DataError("--na-prob-file and --na-prob-thresh belong to SQuAD 2.0; leave out --squad-version 1.1.")
    if options.na_prob_thresh is not None and options.na_prob_file is None:
        raise DataError("--na-prob-thresh needs --na-prob-file.")
    if options.squad_version == "2.0" or (options.squad_version is None and (version_2 or asks_2)):
        na_probs = read_predictions(options.na_prob_file, float) if options.na_prob_file else None
        threshold = 1.0 if options.na_prob_thresh is None else options.na_prob_thresh
        return evaluate_v2(golds, predictions, na_probs, threshold)
    return evaluate_v1(golds, predictions)


# task → what it is, its arguments, its figures
TASKS = {
    "squad": ("SQuAD 1.1 and 2.0: exact match, F1, best thresholds", squad_arguments, squad),
    "nlg": ("E2E, WebNLG, DART: BLEU, METEOR, TER and others as the official scripts have them", nlg_arguments, nlg),
    "math": ("word problems: answers found in texts that reason, accuracy with its interval", math_arguments, math),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ginets eval", description="Score a file of predictions.", allow_abbrev=False)
    tasks = parser.add_subparsers(metavar="TASK", required=True)
    for name, (text, add_arguments, score) in TASKS.items():
        task = tasks.add_parser(name, help=text, description=text, allow_abbrev=False)
        add_arguments(task)
        task.add_argument("--json", action="store_true", help="print JSON")
        task.set_defaults(score=score)
    options = parser.parse_args(arguments)
    try:
        figures = options.score(options)
    except (ImportError, OSError, ValueError) as error:  # also DataError
        print(f"ginets eval: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        width = max(map(len, figures))
        print("\n".join(f"{name:{width}}  {value!r}" for name, value in figures.items()))
    return 0

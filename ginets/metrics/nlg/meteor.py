"""METEOR 1.5 of a corpus, from the jar in pycocoevalcap."""

from collections.abc import Sequence

from ...extras import require
from .java import Unavailable, java


def meteor(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR 1.5 (English, `-norm`, ranking weights) in [0, 1], aggregated over the corpus, of the best references.

    Equal to the value of E2E's `measure_scores.py` on `coco_words`, and to that of the jar with files (`-l en -norm -r`)
    on `treebank`, as GenerationEval calls it. nltk's `meteor_score` is another metric.
    """
    java()
    module = require("pycocoevalcap.meteor.meteor", extra="nlg")
    try:
        return float(module.Meteor().compute_score(*coco_form(predictions, references))[0])
    except (OSError, ValueError) as error:  # the jar is gone, or answered with nothing
        raise Unavailable(f"the METEOR jar did not answer ({error})") from error


def coco_form(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict, dict]:
    """References and predictions as pycocoevalcap wants them: number of the item → list of texts."""
    return {i: list(texts) for i, texts in enumerate(references)}, {i: [text] for i, text in enumerate(predictions)}

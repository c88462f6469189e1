"""CIDEr of a corpus, from pycocoevalcap."""

from collections.abc import Sequence

from ...extras import require
from .meteor import coco_form


def cider(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr-D in [0, 10]. The weights of the n-grams come from the references of this very corpus.

    Equal to E2E's `measure_scores.py` on `coco_words`.
    """
    scorer = require("pycocoevalcap.cider.cider", extra="nlg").Cider()
    return float(scorer.compute_score(*coco_form(predictions, references))[0])

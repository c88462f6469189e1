"""ROUGE-L of a corpus, from pycocoevalcap."""

from collections.abc import Sequence

from ...extras import require
from .meteor import coco_form


def rouge_l(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean of the sentences' ROUGE-L in [0, 1]: β = 1.2, largest precision and largest recall over the references.

    Equal to E2E's `measure_scores.py` on `coco_words`; `rouge-score` stems and combines otherwise.
    """
    scorer = require("pycocoevalcap.rouge.rouge", extra="nlg").Rouge()
    return float(scorer.compute_score(*coco_form(predictions, references))[0])

"""chrF++ of a corpus, from sacrebleu."""

from collections.abc import Sequence

from ...extras import require
from .bleu import streams


def chrf_plus_plus(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """chrF++ in [0, 1]: characters up to 6-grams, words up to bigrams, β = 2, the best reference of each sentence.

    Averaged over orders as in Popović's `chrF++.py`, which GenerationEval uses (`eps_smoothing`). Where a prediction has
    nothing in common with any reference, e.g. an empty one, that script counts the length of the first, this a short one.
    """
    scorer = require("sacrebleu.metrics", extra="nlg").CHRF(word_order=2, eps_smoothing=True)
    return scorer.corpus_score(list(predictions), streams(references)).score / 100

"""BLEU of a corpus: n-grams counted by sacrebleu, put together as each of the two official scripts does it."""

import math
from collections.abc import Sequence
from itertools import zip_longest

from ...extras import require
from .text import mteval_words


ORDER = 4
NO_HITS, NO_WORDS = 1e-15, 1e-9  # what E2E's script takes for 0


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 in [0, 1], case-insensitive, mteval-v13a's words, unsmoothed: 0 without a common 4-gram.

    Equal to Moses' `multi-bleu-detok.perl -lc`.
    """
    return _counts(predictions, references).score / 100


def e2e_bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The same as E2E's `measure_scores.py -p` has it, which is another figure where predictions are very short.

    There a prediction of m words has m − n + 1 n-grams, also if this is negative, an empty one has one word, and
    nothing is quite 0. Where all have four words or more, and a 4-gram in common, it is `bleu`.
    """
    counts = _counts(predictions, references)
    words = counts.sys_len + sum(mteval_words(text) == [""] for text in predictions)
    totals = [words - n * len(predictions) for n in range(ORDER)]
    logs = (
        math.log(max(hits, NO_HITS) / max(total, NO_WORDS)) for hits, total in zip(counts.counts, totals, strict=True)
    )
    return math.exp(min(0.0, 1 - counts.ref_len / words) + sum(logs) / ORDER)


def streams(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """References by item → as sacrebleu wants them: the first of each item, the second of each, …; None for no more."""
    return list(map(list, zip_longest(*references)))


def _counts(predictions: Sequence[str], references: Sequence[Sequence[str]]):
    """sacrebleu's score, which carries its counts."""
    scorer = require("sacrebleu.metrics", extra="nlg").BLEU(lowercase=True, smooth_method="none", force=True)
    return scorer.corpus_score(list(predictions), streams(references))

"""NIST of a corpus (Doddington 2002), as mteval-v13a and the Python form of it in E2E's `measure_scores.py -p` define it."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import or_

from .text import mteval_words


BETA = -math.log(0.5) / math.log(1.5) ** 2  # a corpus of two thirds of the references' length loses half


def nist(predictions: Sequence[str], references: Sequence[Sequence[str]], order: int = 5) -> float:
    """Information that the common n-grams carry, per n-gram of the predictions, summed over n = 1 … `order`.

    The information of an n-gram is log2(count of its first n − 1 words / its count), counted in all references of the
    corpus; for n = 1 the first is the number of words. An n-gram is common as often as in any one reference of the
    item. The sum is multiplied by exp(−β ln²(min(1, words of the predictions / mean words of the references))).

    A prediction of m words has m − n + 1 n-grams, also where this is negative: the official script counts like this,
    and takes an empty text for one empty word. Where nothing is left to divide by, an order adds 0.
    """
    corpus, common, lengths, mean_length = Counter(), Counter(), [0] * order, 0.0
    for prediction, texts in zip(predictions, references, strict=True):
        words, every = mteval_words(prediction), list(map(mteval_words, texts))
        found = [_ngrams(each, order) for each in every]
        common += _ngrams(words, order) & reduce(or_, found)
        for counts in found:
            corpus.update(counts)
        corpus[()] += sum(map(len, every))
        mean_length += sum(map(len, every)) / len(every)
        lengths = [length + len(words) - n for n, length in enumerate(lengths)]
    gains = [0.0] * order
    for ngram, count in common.items():
        gains[len(ngram) - 1] += count * math.log2(corpus[ngram[:-1]] / corpus[ngram])
    score = sum(gain / length for gain, length in zip(gains, lengths, strict=True) if length > 0)
    return score * math.exp(-BETA * math.log(min(1.0, lengths[0] / mean_length)) ** 2)


def _ngrams(words: list[str], order: int) -> Counter:
    return Counter(tuple(words[i : i + n]) for n in range(1, order + 1) for i in range(len(words) - n + 1))

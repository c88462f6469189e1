"""Naive forms of the metrics of generated text: written from the definitions, slow, with dictionaries and loops."""

import math
import re


def mteval_words(text: str) -> list[str]:
    """mteval-v13a: punctuation is cut off; periods, commas and dashes depend on the digits around them."""
    for entity, sign in (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(entity, sign)
    text = f" {text} "
    for sign in '{|}~[\\]^_`!"#$%&()*+:;<=>?@/':
        text = text.replace(sign, f" {sign} ")
    text = re.sub(r"([^0-9])([.,])", r"\1 \2 ", text)
    text = re.sub(r"([.,])([^0-9])", r" \1 \2", text)
    text = re.sub(r"([0-9])-", r"\1 - ", text)
    return text.lower().split() or [""]


def grams(words, n: int) -> list[tuple]:
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def hits(words, references, n: int) -> int:
    """n-grams of `words` in common, each as often as in the reference that has most of it."""
    return sum(
        min(grams(words, n).count(gram), max(grams(each, n).count(gram) for each in references))
        for gram in set(grams(words, n))
    )


def bleu(predictions, references, e2e: bool = False) -> float:
    """BLEU of Moses' multi-bleu; with `e2e` that of E2E's script, which counts len − n + 1 n-grams and smooths a bit."""
    common, total, length, wanted = [0] * 4, [0] * 4, 0, 0
    for prediction, texts in zip(predictions, references, strict=True):
        words, each = mteval_words(prediction), [mteval_words(text) for text in texts]
        if words == [""] and not e2e:
            words = []
        length += len(words)
        wanted += min((abs(len(ref) - len(words)), len(ref)) for ref in each)[1]
        for n in range(4):
            common[n] += hits(words, each, n + 1)
            total[n] += len(words) - n if e2e else max(0, len(words) - n)
    if e2e:
        common, total = [max(each, 1e-15) for each in common], [max(each, 1e-9) for each in total]
    if not all(common):
        return 0.0
    precision = math.prod(c / t for c, t in zip(common, total, strict=True)) ** 0.25
    return precision * min(1.0, math.exp(1 - wanted / length))


def nist(predictions, references) -> float:
    everything = [mteval_words(text) for texts in references for text in texts]
    score = 0.0
    length = sum(len(mteval_words(prediction)) for prediction in predictions)
    for n in range(1, 6):
        gain, total = 0.0, 0
        for prediction, texts in zip(predictions, references, strict=True):
            words, each = mteval_words(prediction), [mteval_words(text) for text in texts]
            total += len(words) - n + 1
            for gram in set(grams(words, n)):
                times = min(grams(words, n).count(gram), max(grams(ref, n).count(gram) for ref in each))
                if times:
                    whole = sum(grams(ref, n).count(gram) for ref in everything)
                    start = sum(grams(ref, n - 1).count(gram[:-1]) for ref in everything)
                    start = sum(map(len, everything)) if n == 1 else start
                    gain += times * math.log(start / whole) / math.log(2)
        score += gain / total if total > 0 else 0
    mean = sum(sum(len(mteval_words(text)) for text in texts) / len(texts) for texts in references)
    beta = math.log(2) / math.log(1.5) ** 2
    return score * (math.exp(-beta * math.log(length / mean) ** 2) if length < mean else 1)


def distance(ours, theirs) -> int:
    table = [[i + j for j in range(len(theirs) + 1)] for i in range(len(ours) + 1)]
    for i, a in enumerate(ours, start=1):
        for j, b in enumerate(theirs, start=1):
            table[i][j] = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a != b))
    return table[-1][-1]


def sentence_ter(words: list, reference: list) -> float:
    """Greedy shifts as pyter makes them, from the list of all candidates in order."""
    if not reference:
        return 1.0
    shifts = 0
    while True:
        candidates = []
        for i in range(len(words)):
            for j in range(len(reference)):
                n = 0
                while i + n < len(words) and j + n < len(reference) and words[i + n] == reference[j + n]:
                    n += 1
                if n and i != j:
                    moved = words[:i] + words[i + n :]
                    moved[j:j] = words[i : i + n]
                    candidates.append((distance(words, reference) - distance(moved, reference), moved))
        gain, moved = sorted(candidates)[-1] if candidates else (0, words)
        if gain <= 0:
            return (shifts + distance(words, reference)) / len(reference)
        words, shifts = moved, shifts + 1


def chrf(predictions, references) -> float:
    """chrF++ of the corpus: 6 orders of characters and 2 of words, their F2 averaged."""

    def units(text: str):
        words = []
        for word in text.split():
            if len(word) > 1 and word[-1] in PUNCTUATION:
                words += [word[:-1], word[-1]]
            elif len(word) > 1 and word[0] in PUNCTUATION:
                words += [word[0], word[1:]]
            else:
                words.append(word)
        return [grams("".join(text.split()), n) for n in range(1, 7)] + [grams(words, n) for n in (1, 2)]

    def counts(text: str, reference: str):
        ours, theirs = units(text), units(reference)
        both = [sum(min(a.count(x), b.count(x)) for x in set(a)) for a, b in zip(ours, theirs, strict=True)]
        # an order that the reference is too short for counts for neither
        return [(c, len(a) if b else 0, len(b)) for c, a, b in zip(both, ours, theirs, strict=True)]

    def f2(order) -> float:
        common, ours, theirs = order
        return 5 * (common / ours) * (common / theirs) / (4 * common / ours + common / theirs) if common else 0.0

    total = [(0, 0, 0)] * 8
    for prediction, texts in zip(predictions, references, strict=True):
        best = max((counts(prediction, text) for text in texts), key=lambda orders: sum(map(f2, orders)))
        total = [tuple(map(sum, zip(a, b, strict=True))) for a, b in zip(total, best, strict=True)]
    return sum(map(f2, total)) / 8


PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

"""Translation edit rate as pyter defines it, the mean over sentences of the best reference.

Snover et al. (2006) count edits and shifts of a whole corpus; WebNLG's scripts, and so the literature on it, take pyter's
rate of each sentence, its minimum over the references, and the mean of these. sacrebleu's TER is another one.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product


def ter(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Mean over sentences of the smallest rate; texts are split at white space.

    An empty reference has the rate 1, whatever the prediction: what GenerationEval gives where pyter divides by zero.
    """
    best = [
        min(sentence_ter(prediction.split(), text.split()) for text in set(texts))
        for prediction, texts in zip(predictions, references, strict=True)
    ]
    return sum(best) / len(best)


def sentence_ter(words: Sequence[str], reference: Sequence[str]) -> float:
    """(shifts + edits that remain) / words of the reference.

    A shift takes a run of words that the reference has, too, as long as it goes on, to the place where it begins
    there. As long as a shift saves edits, the one that saves most is made; between equals the result that is last in
    alphabetical order, as in pyter.
    """
    if not reference:
        return 1.0
    edits = edit_distance(reference)
    words, shifts, remaining = tuple(words), 0, edits(words)
    while moved := set(_shifted(words, reference)):
        gain, words_after = max((remaining - edits(each), each) for each in moved)
        if gain <= 0:
            break
        words, shifts, remaining = words_after, shifts + 1, remaining - gain
    return (shifts + remaining) / len(reference)


def edit_distance(reference: Sequence[str]) -> Callable[[Sequence[str]], int]:
    """A function that gives the Levenshtein distance of words to `reference`.

    One column of the table of distances at a time, its steps up and down as bits (Myers 1999, Hyyrö 2003).
    """
    where: dict[str, int] = {}
    for place, word in enumerate(reference):
        where[word] = where.get(word, 0) | 1 << place
    full, last = (1 << len(reference)) - 1, 1 << len(reference) - 1

    def distance(words: Sequence[str]) -> int:
        up, down, edits = full, 0, len(reference)
        for word in words:
            equal = where.get(word, 0)
            vertical = equal | down
            horizontal = (((equal & up) + up) ^ up) | equal
            rise, fall = down | ~(horizontal | up) & full, up & horizontal
            edits += bool(rise & last) - bool(fall & last)
            rise, fall = rise << 1 | 1, fall << 1
            up, down = (fall | ~(vertical | rise)) & full, rise & vertical & full
        return edits

    return distance


def _shifted(words: tuple[str, ...], reference: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All that one shift can make of `words`."""
    for start, target in product(range(len(words)), range(len(reference))):
        length = 0
        for ours, theirs in zip(words[start:], reference[target:], strict=False):
            if ours != theirs:
                break
            length += 1
        if length and start != target:
            run, rest = words[start : start + length], words[:start] + words[start + length :]
            yield rest[:target] + run + rest[target:]

"""Questions of a test set that occur in the data that was trained on: the same, or nearly.

Texts are compared as runs of letters and digits (Unicode NFKC, case folded): punctuation and white space mean nothing.
Nearly the same are texts whose sets of character n-grams have a Jaccard similarity |A∩B| / |A∪B| of at least a
threshold. Pairs are found through an index of the rarest n-grams of each text: two sets of sizes a ≤ b with similarity
t or more share at least one of the rarest a − ⌈t·a⌉ + 1 of each (S. Chaudhuri, V. Ganti, R. Kaushik, "A primitive
operator for similarity joins in data cleaning", 2006), so that no pair is missed.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import ceil

from .records import check_object, keep, read_records
from .tabular import DataError, check_text


THRESHOLD, NGRAM = 0.6, 5
# columns that make up a question; the first set that a row has
COLUMNS = (("instruction", "input"), ("question",), ("problem",), ("original_text",), ("prompt",), ("text",))
SEPARATORS = re.compile(r"[\W_]+")
DIGITS = re.compile(r"\d+")
ROUNDING = 1e-9  # so that a product like 0.6 · 5 is not rounded up past 3


@dataclass(frozen=True)
class Pair:
    """A test question and the training question most like it. Rows count from 1; `kind` is `exact` or `fuzzy`."""

    test_row: int
    train_row: int
    kind: str
    similarity: float
    test: str
    train: str


@dataclass(frozen=True)
class LeakReport:
    """What two sets share; at most one pair per test question."""

    train_rows: int
    test_rows: int
    pairs: tuple[Pair, ...]

    @property
    def exact(self) -> int:
        return sum(pair.kind == "exact" for pair in self.pairs)

    @property
    def fuzzy(self) -> int:
        return len(self.pairs) - self.exact

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __str__(self) -> str:
        return (
            f"of {self.test_rows} test questions {self.exact} occur among {self.train_rows} training questions, "
            f"{self.fuzzy} more nearly so"
        )

    def as_dict(self) -> dict:
        counts = {name: getattr(self, name) for name in ("train_rows", "test_rows", "exact", "fuzzy")}
        return counts | {"pairs": [asdict(pair) for pair in self.pairs]}


def check_leak(
    train: Sequence[str],
    test: Sequence[str],
    threshold: float = THRESHOLD,
    ngram: int = NGRAM,
    ignore_digits: bool = False,
) -> LeakReport:
    """Compare two lists of questions.

    Args:
        threshold: least similarity of nearly equal questions, 0 to 1 (0 excluded); 1 finds equal sets of n-grams.
        ngram: characters of an n-gram; a shorter text is one n-gram.
        ignore_digits: problems that differ in numbers alone are the same.

    Raises:
        ValueError: threshold or ngram is out of range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed: more than 0, at most 1.")
    if ngram < 1:
        raise ValueError(f"ngram is {ngram}; it must be at least 1.")
    shapes = [[normalise(text, ignore_digits) for text in texts] for texts in (train, test)]
    where: dict[str, int] = {}
    for row, shape in enumerate(shapes[0]):
        where.setdefault(shape, row)
    similar = Similar(shapes[0], ngram, threshold)
    pairs = []
    for row, shape in enumerate(shapes[1]):
        if not shape:
            continue
        exact = where.get(shape)
        found = (exact, 1.0) if exact is not None else similar.best(shape)
        if found:
            kind = "fuzzy" if exact is None else "exact"
            pairs.append(Pair(row + 1, found[0] + 1, kind, found[1], test[row], train[found[0]]))
    return LeakReport(len(train), len(test), tuple(pairs))


def normalise(text: str, ignore_digits: bool = False) -> str:
    """Letters and digits, case folded; or letters alone."""
    text = SEPARATORS.sub("", unicodedata.normalize("NFKC", text).casefold())
    return DIGITS.sub("", text) if ignore_digits else text


def ngrams(text: str, size: int) -> frozenset[str]:
    """The distinct n-grams of characters; a text that is shorter than one is one itself."""
    return frozenset(text[at : at + size] for at in range(max(1, len(text) - size + 1))) if text else frozenset()


class Similar:
    """Texts, to be searched for the one most like another."""

    def __init__(self, texts: Iterable[str], size: int, threshold: float):
        self.size, self.threshold = size, threshold
        self.sets = [ngrams(text, size) for text in texts]
        self.counts = Counter(gram for grams in self.sets for gram in grams)
        self.index: dict[str, list[int]] = defaultdict(list)
        for row, grams in enumerate(self.sets):
            for gram in self._rarest(grams):
                self.index[gram].append(row)

    def best(self, text: str) -> tuple[int, float] | None:
        """The first row of the greatest similarity, and that; None where it is below the threshold."""
        grams = ngrams(text, self.size)
        candidates = {row for gram in self._rarest(grams) for row in self.index.get(gram, ())}
        best = None
        for row in sorted(candidates):
            other = self.sets[row]
            shared = len(grams & other)
            similarity = shared / (len(grams) + len(other) - shared)
            if similarity >= self.threshold - ROUNDING and (best is None or similarity > best[1]):
                best = row, similarity
        return best

    def _rarest(self, grams: frozenset[str]) -> list[str]:
        """As many as can be needed to find every text that is similar enough; one order for all sets."""
        needed = len(grams) - ceil(self.threshold * len(grams) - ROUNDING) + 1
        return sorted(grams, key=lambda gram: (self.counts[gram], gram))[: needed if grams else 0]


def read_questions(path: str | os.PathLike, column: str | None = None) -> list[str]:
    """The questions of a file, see `read_records`.

    Args:
        column: what is compared; by default the first of `COLUMNS` that a row has, or what the user says in its
            `messages`.

    Raises:
        DataError: there is no such column, or no text in it.
    """

    def parse(record: object) -> str:
        record = check_object(record)
        if column is None and "messages" in record:
            return _said(record["messages"])
        groups = COLUMNS if column is None else ((column,),)
        names = next((names for names in groups if names[0] in record), None)
        if names is None:
            raise DataError(f"the columns are {', '.join(map(str, record))}; needed: {' or '.join(n[0] for n in groups)}.")  # fmt: skip
        texts = [record[name] for name in names if record.get(name) is not None]
        for text in texts:
            check_text(text, names[0])
        return "\n".join(filter(None, texts))

    return keep(read_records(path), parse, path)


def _said(messages: object) -> str:
    from .instruct import check_messages

    return "\n".join(message["content"] for message in check_messages(messages) if message["role"] == "user")

"""From start and end logits of windows to answers: n-best lists, null odds, predictions.

Of every window the `n_best_size` best starts and ends are paired; pairs that lie in the context, run forwards and span
at most `max_answer_length` tokens are candidates, scored by the sum of their logits. All windows of a question compete;
with unanswerable questions so does the empty answer, scored by the smallest sum at the null position among the windows.

All questions are worked on at once, with numpy; results are those of the usual loop over questions, windows, starts and
ends, digit for digit, in the precision of the logits. Between equal scores the order of that loop decides.
"""

import json
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np


CHUNK = 1000  # windows, or questions, that are looked at together
FILES = ("predictions", "nbest_predictions", "null_odds")


@dataclass
class Answers:
    """Answers by question id, in the order of the examples.

    Attributes:
        predictions: text; "" where there is no answer.
        nbest_predictions: the best candidates, best first: `text`, `start_logit`, `end_logit`, `probability`.
        null_odds: null score − score of the best candidate; None where every question has an answer.
        spans: text of the best candidate, whatever the null odds. With `null_odds`, what a search for the best
            threshold needs.
    """

    predictions: dict[str, str]
    nbest_predictions: dict[str, list[dict]]
    null_odds: dict[str, float] | None
    spans: dict[str, str]

    def save(self, folder: str | os.PathLike, prefix: str | None = None) -> list[Path]:
        """Write `predictions.json`, `nbest_predictions.json` and, if known, `null_odds.json`; `<prefix>_` in front."""
        written = []
        for name in FILES:
            if (values := getattr(self, name)) is not None:
                written.append(Path(folder) / f"{prefix}_{name}.json" if prefix else Path(folder) / f"{name}.json")
                text = _nbest_json(values) if values is self.nbest_predictions else json.dumps(values, indent=4)
                written[-1].write_text(text + "\n", encoding="utf-8")
        return written


def read_answers(
    examples,
    features,
    logits: tuple[np.ndarray, np.ndarray],
    version_2_with_negative: bool = False,
    n_best_size: int = 20,
    max_answer_length: int = 30,
    null_score_diff_threshold: float = 0.0,
) -> Answers:
    """Read answers from the logits of a question answering head.

    Args:
        examples: `datasets.Dataset` with `id` and `context`.
        features: `datasets.Dataset` of their windows, built with `characters=True` (see `ginets.data.squad_features`).
        logits: of starts and of ends, each `(windows, length)`, in the order of `features`; right-padded to any length.
        version_2_with_negative: there are unanswerable questions: predict "" where the null odds exceed
            `null_score_diff_threshold`.
        n_best_size: how many starts and ends of a window are paired, and how many candidates are kept of a question.
        max_answer_length: in tokens.

    Where a question has no candidate at all, "empty" is answered in its place, as by the usual loop.

    Raises:
        ValueError: logits, features and examples do not belong together, or a size is below 1.
    """
    logits = tuple(np.asarray(each) for each in logits)
    _check(features, logits, n_best_size=n_best_size, max_answer_length=max_answer_length)
    found, nulls = _search(features, logits, n_best_size, max_answer_length)
    if not np.array_equal(nulls.example, np.arange(len(examples))):
        raise ValueError(f"the features are of {len(nulls.example)} questions, the examples are {len(examples)}.")
    if version_2_with_negative:
        found = _Candidates.join([found, nulls])  # last, so that it comes behind others of its score
    order, rank = _ranked(found.example, found.score)
    found = found.take(order[(rank < n_best_size) | found.is_null[order]])
    sizes = np.bincount(found.example, minlength=len(examples))
    answered, best = np.unique(np.where(found.is_null, -1, found.example), return_index=True)
    answered, best = answered[answered >= 0], best[answered >= 0]
    odds = nulls.score.copy()
    odds[answered] = nulls.score[answered] - found.start_logit[best] - found.end_logit[best]
    nbest = _entries(examples, found, sizes)
    for row in np.flatnonzero(np.isin(np.arange(len(examples)), answered, invert=True)):
        nbest[row] = _placeholder(nbest[row], nulls.score[row])
    spans = [entries[0]["text"] or entries[1]["text"] for entries in nbest]  # only one of them is empty
    blank = odds > null_score_diff_threshold if version_2_with_negative else np.zeros(len(spans), bool)
    names = examples.select_columns(["id"]).with_format("arrow")[:]["id"].to_pylist()
    return Answers(
        {name: "" if empty else text for name, text, empty in zip(names, spans, blank.tolist(), strict=True)},
        dict(zip(names, nbest, strict=True)),
        dict(zip(names, odds.tolist(), strict=True)) if version_2_with_negative else None,
        dict(zip(names, spans, strict=True)),
    )


def best_spans(
    features, logits: tuple[np.ndarray, np.ndarray], n_best_size: int = 20, max_answer_length: int = 30
) -> tuple[list[tuple[int, int, float]], float]:
    """Of one question: characters [start, end) and score of its best candidates, best first; and its null score.

    `features` and `logits` as in `read_answers`; there may be no candidate.
    """
    _check(features, logits, n_best_size=n_best_size, max_answer_length=max_answer_length)
    found, nulls = _search(features, logits, n_best_size, max_answer_length)
    found = found.take(_ranked(found.example, found.score)[0][:n_best_size])
    columns = (found.char_start, found.char_end, found.score)
    return list(zip(*(column.tolist() for column in columns), strict=True)), float(nulls.score[0])


class _Candidates(NamedTuple):
    """Spans of characters as columns: question, score, logits, text; the empty span [0, 0) is "no answer"."""

    example: np.ndarray
    score: np.ndarray
    start_logit: np.ndarray
    end_logit: np.ndarray
    char_start: np.ndarray
    char_end: np.ndarray

    @property
    def is_null(self) -> np.ndarray:
        return self.char_end == 0

    def take(self, index: np.ndarray) -> "_Candidates":
        return _Candidates(*(column[index] for column in self))

    @staticmethod
    def join(parts: "list[_Candidates]") -> "_Candidates":
        return _Candidates(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _search(features, logits, n_best_size: int, max_answer_length: int) -> tuple[_Candidates, _Candidates]:
    """The best candidates of every window, and of every question its smallest null score, sorted by question."""
    columns = ["example", "null_position", "context_start", "char_starts", "char_ends"]
    tables = features.select_columns(columns).with_format("arrow")
    found, nulls = [], []
    for low in range(0, len(features), CHUNK):
        table, (starts, ends) = tables[low : low + CHUNK], (each[low : low + CHUNK] for each in logits)
        found.append(_spans(table, starts, ends, n_best_size, max_answer_length))
        rows, at = np.arange(len(starts)), table["null_position"].to_numpy()
        start, end, none = starts[rows, at], ends[rows, at], np.zeros(len(rows), np.int32)
        nulls.append(_Candidates(table["example"].to_numpy(), start + end, start, end, none, none))
    null = _Candidates.join(nulls)
    order, rank = _ranked(null.example, -null.score)
    return _Candidates.join(found), null.take(order[rank == 0])


def _spans(table, starts: np.ndarray, ends: np.ndarray, n_best_size: int, max_answer_length: int) -> _Candidates:
    """Valid pairs of the best starts and ends, window by window in the order of the usual loop; `n_best_size` of each
    window and those that score the same as the last of these."""
    lists = {name: table[name].combine_chunks() for name in ("char_starts", "char_ends")}
    bounds = lists["char_starts"].offsets.to_numpy()
    chars = {name: each.values.to_numpy() for name, each in lists.items()}
    solid = np.append(chars["char_starts"] < chars["char_ends"], False)  # not white space only
    heads = table["context_start"].to_numpy()
    if (longest := (heads + np.diff(bounds)).max()) > starts.shape[1]:
        raise ValueError(f"logits have {starts.shape[1]} columns; the contexts of these features reach {longest}.")

    def best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of each window the best positions, their scores, the same among all tokens, and which can be used."""
        at = _top(scores, n_best_size)
        token = at - (heads - bounds[:-1])[:, None]
        inside = (token >= bounds[:-1, None]) & (token < bounds[1:, None])
        return at, np.take_along_axis(scores, at, axis=1), token, inside & solid[np.where(inside, token, -1)]

    (start_at, start, first, start_ok), (end_at, end, last, end_ok) = best(starts), best(ends)
    size = end_at[:, None, :] - start_at[:, :, None] + 1
    valid = (size >= 1) & (size <= max_answer_length) & start_ok[:, :, None] & end_ok[:, None, :]
    scores = np.where(valid, start[:, :, None] + end[:, None, :], -np.inf)
    flat = scores.reshape(len(scores), -1)
    if n_best_size < flat.shape[1]:
        worst = np.partition(flat, -n_best_size, axis=1)[:, -n_best_size]
        valid &= scores >= worst[:, None, None]
    window, i, j = np.nonzero(valid)
    return _Candidates(
        table["example"].to_numpy()[window],
        scores[window, i, j],
        start[window, i],
        end[window, j],
        chars["char_starts"][first[window, i]],
        chars["char_ends"][last[window, j]],
    )


def _top(scores: np.ndarray, count: int) -> np.ndarray:
    """Positions of the `count` best scores of each row, best first; equal ones in the order of `argsort`."""
    if count >= scores.shape[1]:
        return np.argsort(scores, axis=1)[:, ::-1]
    kept = scores >= np.partition(scores, -count, axis=1)[:, -count, None]  # far quicker than sorting
    single = kept.sum(axis=1) == count
    at = np.nonzero(kept[single])[1].reshape(-1, count)
    best = np.take_along_axis(scores[single], at, axis=1)
    order = np.argsort(-best, axis=1)
    at, best = np.take_along_axis(at, order, axis=1), np.take_along_axis(best, order, axis=1)
    different = (best[:, 1:] != best[:, :-1]).all(axis=1)
    single[single] = different
    result = np.empty((len(scores), count), np.int64)
    result[single] = at[different]
    # only where scores are equal does the way of sorting show
    result[~single] = np.argsort(scores[~single], axis=1)[:, : -count - 1 : -1]
    return result


def _ranked(groups: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order by group, best scores first, equal ones as they come; and the rank of each in its group."""
    order = np.lexsort((-scores, groups))
    groups = groups[order]
    return order, np.arange(len(groups)) - np.searchsorted(groups, groups)


def _entries(examples, found: _Candidates, sizes: np.ndarray) -> list[list[dict]]:
    """The candidates of each question as they are written; `found` is sorted, `sizes` of them belong to each."""
    columns = [found.start_logit, found.end_logit, found.char_start, found.char_end, _softmax(found.score, sizes)]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    contexts, entries = examples.select_columns(["context"]).with_format("arrow"), []
    for low in range(0, len(examples), CHUNK):
        texts = contexts[low : low + CHUNK]["context"].to_pylist()
        for context, size in zip(texts, sizes[low : low + CHUNK].tolist(), strict=True):
            entries.append(
                [
                    {"start_logit": start, "end_logit": end, "text": context[first:last], "probability": probability}
                    for start, end, first, last, probability in islice(rows, size)
                ]
            )
    return entries


def _softmax(scores: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Softmax within each question. Those with equally many candidates at a time: sums then round as single ones do."""
    probabilities, firsts = np.empty_like(scores), np.cumsum(sizes) - sizes
    for size in np.unique(sizes[sizes > 0]):
        index = firsts[sizes == size][:, None] + np.arange(size)
        powers = np.exp(scores[index] - scores[index].max(axis=1, keepdims=True))
        probabilities[index] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _placeholder(entries: list[dict], null_score: np.floating) -> list[dict]:
    """ "empty" in front of what there is, at most the empty answer."""
    scores = np.array([0.0, *[null_score] * len(entries)])
    powers = np.exp(scores - scores.max())
    probabilities = (powers / powers.sum()).tolist()
    fake = {"start_logit": 0.0, "end_logit": 0.0, "text": "empty"}
    return [{**entry, "probability": p} for entry, p in zip([fake, *entries], probabilities, strict=True)]


def _nbest_json(nbest: dict[str, list[dict]]) -> str:
    """What `json.dumps(nbest, indent=4)` gives, several times as fast for so many small objects of one form."""
    quote = json.encoder.encode_basestring_ascii
    questions = []
    for name, entries in nbest.items():
        objects = [
            f'        {{\n            "start_logit": {entry["start_logit"]!r},\n            "end_logit": '
            f'{entry["end_logit"]!r},\n            "text": {quote(entry["text"])},\n            "probability": '
            f"{entry['probability']!r}\n        }}"
            for entry in entries
        ]
        questions.append(f"    {quote(name)}: [\n" + ",\n".join(objects) + "\n    ]")
    return "{\n" + ",\n".join(questions) + "\n}"


def _check(features, logits: tuple[np.ndarray, ...], **sizes: int):
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}; it must be at least 1.")
    shapes, windows = [each.shape for each in logits], len(features)
    if len(shapes) != 2 or shapes[0] != shapes[1] or len(shapes[0]) != 2 or shapes[0][0] != windows:
        raise ValueError(f"logits have shapes {shapes}; for these features both must be ({windows}, length).")

"""Passages of which it is known what is relevant to a question: which characters, and then which tokens.

Sources: files in the SQuAD form, where the gold answers are relevant (all of them, if there are several) and
questions without answer are left out; or rows with a column `relevant`, a list of [start, end) characters.
"""

import json
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..extras import require
from .squad import load_files, read_rows
from .squad_features import PairTemplate, build_features
from .tabular import PLACE, DataError, columns_of


ROLES = ("relevant", "irrelevant", "question", "special")  # of a token; the first two are those of the context
RELEVANT, IRRELEVANT, QUESTION, SPECIAL = range(len(ROLES))
Span = tuple[int, int]


@dataclass(frozen=True)
class Passage:
    """A question, its context, and the characters [start, end) of the context that are relevant to it."""

    id: str
    question: str
    context: str
    spans: tuple[Span, ...]


class Marked(NamedTuple):
    """A passage as a model reads it: the columns of its window, and the role of each token, an index of `ROLES`."""

    window: dict
    roles: np.ndarray


def read_passages(path: str | os.PathLike, limit: int | None = None, seed: int = 0) -> tuple[list[Passage], Counter]:
    """Read a file of either form, see above.

    Args:
        limit: draw that many passages at random, in the order of the file; None: all.
        seed: of the drawing.

    Returns:
        The passages, and why how many questions were left out.

    Raises:
        DataError: naming file, row and field of what cannot be used, or that nothing is left.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; it must be at least 1.")
    rows = read_rows(path)
    marked = "relevant" in columns_of(rows)
    examples = load_files({"data": os.fspath(path)}, () if marked else ("data",))["data"]  # checks everything else
    passages, left_out = [], Counter()
    for row, example in zip(rows, examples, strict=True):
        spans = _given(row, example, path) if marked else _answers(example["answers"])
        if spans:
            passages.append(Passage(example["id"], example["question"], example["context"], spans))
        else:
            left_out["nothing is relevant" if marked else "no answer"] += 1
    if not passages:
        raise DataError(f"{path}: no question has {'relevant characters' if marked else 'an answer'}.")
    if limit is not None and limit < len(passages):
        chosen = sorted(random.Random(seed).sample(range(len(passages)), limit))
        passages = [passages[number] for number in chosen]
    return passages, left_out


def mark(
    passages: Sequence[Passage], tokenizer: PreTrainedTokenizerBase, max_seq_length: int = 384, doc_stride: int = 128
) -> dict[str, Marked]:
    """The windows that question answering makes of the passages, with the role of each token.

    Of a long passage the window with most relevant tokens is taken, among equals the one that has them nearest to its
    middle. A context token is relevant if it shares a character with a relevant span.

    Returns:
        Passage id → window. Left out are those with no relevant, no irrelevant or no question token.
    """
    texts = {name: [getattr(each, name) for each in passages] for name in ("question", "context")}
    windows = build_features(
        require("datasets", extra="train").Dataset.from_dict(texts),
        tokenizer,
        max_seq_length=max_seq_length,
        doc_stride=doc_stride,
        characters=True,
    )
    template = PairTemplate.of(tokenizer)
    best: dict[str, tuple[tuple[int, float], Marked]] = {}
    for window in windows:
        passage = passages[window["example"]]
        roles = _roles(window, passage.spans, template)
        found = np.flatnonzero(roles == RELEVANT)
        if all((roles == role).any() for role in (RELEVANT, IRRELEVANT, QUESTION)):
            rank = len(found), -abs(found.mean() - len(roles) / 2)
            if passage.id not in best or rank > best[passage.id][0]:
                best[passage.id] = rank, Marked(window, roles)
    return {name: marked for name, (_, marked) in best.items()}


def _roles(window: dict, spans: Sequence[Span], template: PairTemplate) -> np.ndarray:
    starts, ends = np.array(window["char_starts"]), np.array(window["char_ends"])
    roles = np.full(window["length"], SPECIAL, np.int8)
    first = window["context_start"]
    roles[len(template.before) : first - len(template.between)] = QUESTION
    inside = np.zeros(len(starts), bool)
    for start, end in spans:
        inside |= np.maximum(starts, start) < np.minimum(ends, end)
    roles[first : first + len(starts)] = np.where(inside, RELEVANT, IRRELEVANT)
    return roles


def _answers(answers: dict[str, list]) -> tuple[Span, ...]:
    return tuple(
        (start, start + len(text)) for text, start in zip(answers["text"], answers["answer_start"], strict=True)
    )


def _given(row: dict, example: dict, path: str | os.PathLike) -> tuple[Span, ...]:
    place = f"{path}, {row[PLACE]} (question {example['id']!r}): relevant"
    spans, length = row["relevant"], len(example["context"])
    if isinstance(spans, str):  # a csv cell
        try:
            spans = json.loads(spans)
        except ValueError:
            raise DataError(f"{place} is {spans[:60]!r}; write it as [[start, end], ...].") from None
    if not isinstance(spans, list):
        raise DataError(f"{place} is {str(spans)[:60]!r}; it must be a list of [start, end].")
    for span in spans:
        numbers = isinstance(span, list) and len(span) == 2 and all(type(each) is int for each in span)
        if not numbers or not 0 <= span[0] < span[1] <= length:
            raise DataError(
                f"{place} contains {str(span)[:60]}; a span is [start, end] with 0 <= start < end <= {length}, "
                "characters of the context."
            )
    return tuple((start, end) for start, end in spans)

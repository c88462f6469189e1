"""What a language model reads and what it is to write: texts in segments, as token ids with labels.

A row of any task is a sequence of segments. Those of the answer are trained, the others are read only; a dialogue has
several trained ones. Each segment is tokenised by itself, so that the prompt has the same ids in training and when it
is all that there is, at generation.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from ..extras import require
from .tabular import DataError


logger = logging.getLogger(__name__)

IGNORED = -100  # label of a token that is read only
BATCH = 1000  # rows that are tokenised together


class Segment(NamedTuple):
    """A piece of text. `trained`: the model learns to write it. `end`: the end token follows."""

    text: str
    trained: bool = False
    end: bool = False


Segments = tuple[Segment, ...]


def completion(prompt: str, answer: str) -> Segments:
    """A prompt and its answer, after which the text ends."""
    return Segment(prompt), Segment(answer, trained=True, end=True)


def prompt_of(segments: Segments) -> Segments:
    """What stands before the last answer."""
    last = max((at for at, each in enumerate(segments) if each.trained), default=len(segments))
    return segments[:last]


def encode(
    rows: Iterable[Segments],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    train_on_prompt: bool = False,
):
    """Rows as a `datasets.Dataset` with `input_ids`, `labels` and `length` in tokens.

    The begin token stands first if the tokenizer puts one there, and the text does not bring it itself. Longer rows
    are cut at their end. The first token has no label: nothing comes before it.

    Args:
        max_length: in tokens.
        train_on_prompt: learn to write every segment.

    Raises:
        DataError: no row has a token to learn within `max_length`.
    """
    datasets = require("datasets", extra="train")
    columns = {"input_ids": [], "labels": [], "length": []}
    cut = dropped = 0
    for ids, trained in tokenize(rows, tokenizer):
        cut += len(ids) > max_length
        ids, trained = ids[:max_length], trained[:max_length]
        labels = [
            IGNORED,
            *(i if train_on_prompt or t else IGNORED for i, t in zip(ids[1:], trained[1:], strict=True)),
        ]
        if all(label == IGNORED for label in labels):
            dropped += 1
            continue
        for name, value in zip(columns, (ids, labels, len(ids)), strict=True):
            columns[name].append(value)
    if not columns["length"]:
        raise DataError(f"no row has a token to learn among its first {max_length}; give more --max_seq_length.")
    if cut or dropped:
        logger.warning(
            "%d rows were cut at %d tokens; %d of them had nothing left to learn.", cut, max_length, dropped
        )
    return datasets.Dataset.from_dict(columns)


def tokenize(rows: Iterable[Segments], tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[list[int], list[bool]]]:
    """Ids of each row, and which of its tokens are trained."""
    begin = begin_of(tokenizer)
    for batch in batched(rows, BATCH):
        texts = [each.text for segments in batch for each in segments]
        encoded = iter(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])
        for segments in batch:
            ids, trained = [], []
            for each in segments:
                piece = [*next(encoded), *([end_of(tokenizer)] if each.end else [])]
                ids += piece
                trained += [each.trained] * len(piece)
            if begin and ids[: len(begin)] != begin:
                ids, trained = begin + ids, [False] * len(begin) + trained
            yield ids, trained


def begin_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The begin token, if the tokenizer puts one in front of a text."""
    first = tokenizer("a")["input_ids"][:1]
    return first if first == [tokenizer.bos_token_id] else []


def end_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """The end token. Raises `DataError` if the tokenizer has none: texts would never end."""
    if tokenizer.eos_token_id is None:
        raise DataError("the tokenizer has no end token (eos_token), which closes an answer; add one to its files.")
    return tokenizer.eos_token_id


def batched(rows: Iterable, size: int) -> Iterator[Sequence]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch

"""Prompts as token ids, checked before any weights are read."""

import os
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from ..data.records import check_object, keep, read_records
from ..data.segments import Segment, Segments, tokenize
from ..data.tabular import DataError, check_text


class Prompt(NamedTuple):
    """What a model goes on from. `text` leaves out special tokens."""

    id: str
    text: str
    ids: list[int]


def make_prompts(rows: Sequence[tuple[str, Segments]], tokenizer: PreTrainedTokenizerBase) -> list[Prompt]:
    """Ids and segments → prompts, with the very tokens that training has before an answer.

    Raises:
        DataError: there is none, an id occurs twice, a prompt has no token, or an end token is missing.
    """
    if not rows:
        raise DataError("there is no prompt.")
    encoded = tokenize([segments for _, segments in rows], tokenizer)
    prompts = [
        Prompt(name, "".join(each.text for each in segments), ids)
        for (name, segments), (ids, _) in zip(rows, encoded, strict=True)
    ]
    seen = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise DataError(f"id {prompt.id!r} occurs twice.")
        if None in prompt.ids:
            raise DataError("the tokenizer has no end token, which has to stand in these prompts.")
        if not prompt.ids:
            raise DataError(f"prompt {prompt.id!r} is empty, and the tokenizer has no begin token to start from.")
        seen.add(prompt.id)
    return prompts


def check_lengths(prompts: Sequence[Prompt], new_tokens: int, limit: int | None) -> None:
    """Refuse prompts after which a model with `limit` positions cannot write `new_tokens` more."""
    too_long = [prompt for prompt in prompts if limit and len(prompt.ids) + new_tokens > limit]
    if too_long:
        worst = max(too_long, key=lambda prompt: len(prompt.ids))
        raise DataError(
            f"{len(too_long)} of {len(prompts)} prompts are too long, e.g. {worst.id!r} with {len(worst.ids)} tokens: the model has "
            f"{limit} positions, and max_new_tokens is {new_tokens}; shorten them, or give fewer new tokens."
        )


def read_prompts(path: str | os.PathLike) -> list[tuple[str, Segments]]:
    """Prompts of your own: lines of a `.txt` that are not blank, or rows with `prompt`, and with `id` if they have one.

    Where there is no `id`, prompts are numbered from 0.
    """
    column = "text" if str(path).lower().endswith(".txt") else "prompt"
    rows = keep(
        ((place, row) for place, row in read_records(path) if row != {"text": ""}), partial(_row, column), path
    )
    return [(str(number) if name is None else name, segments) for number, (name, segments) in enumerate(rows)]


def _row(column: str, record: object) -> tuple[str | None, Segments]:
    record = check_object(record)
    if column not in record:
        raise DataError(
            f"there is no {column!r}; a row has prompt, and perhaps id. It has {', '.join(map(str, record))}."
        )
    check_text(record[column], column)
    name = record.get("id")
    return None if name is None else str(name), (Segment(record[column]),)

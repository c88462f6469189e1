"""Instructions and dialogues to train on: Alpaca's columns, chat messages, and mixtures of files by weight."""

import os
import random
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import partial
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

from ..extras import require
from .records import Record, check_object, keep, read_records
from .segments import Segment, Segments
from .tabular import DataError, check_text
from .templates import ALPACA, Template


ROLES = ("system", "user", "assistant")
Row = TypeVar("Row")


def read_rows(
    path: str | os.PathLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    bad_rows: str | None = None,
    template: Template = ALPACA,
) -> list[Segments]:
    """The rows of a `.json`, `.jsonl`, `.parquet` or `.csv` file as segments; see `segments`."""
    return make_rows(read_records(path), path, tokenizer, bad_rows, template)


def make_rows(
    records: Iterable[Record],
    source: str | os.PathLike,
    tokenizer: PreTrainedTokenizerBase | None = None,
    bad_rows: str | None = None,
    template: Template = ALPACA,
) -> list[Segments]:
    """Records as segments.

    Args:
        source: of the records, for messages.
        bad_rows: see `keep`.

    Raises:
        DataError: there are bad rows and they are refused, no good one, or messages and no chat template.
    """
    try:
        return keep(records, partial(segments, tokenizer=tokenizer, template=template), source, bad_rows)
    except NoChatTemplate as error:  # not the fault of a row
        raise DataError(f"{source}: {error}") from error


def segments(
    record: object, tokenizer: PreTrainedTokenizerBase | None = None, template: Template = ALPACA
) -> Segments:
    """A row as a model sees it.

    Args:
        record: `{"messages": [{"role": "user", "content": "…"}, …]}`, rendered by the chat template of the tokenizer,
            or `{"instruction": "…", "input": "…", "output": "…"}`, rendered by `template`; `input` may be missing.

    Raises:
        DataError: what is wrong with the row, or `NoChatTemplate`.
    """
    record = check_object(record)
    if "messages" in record:
        return dialogue(check_messages(record["messages"]), tokenizer)
    instruction, input, output = check_instruction(record)
    return template.segments(instruction, output, input)


def check_instruction(record: dict, output: bool = True) -> tuple[str, str, str]:
    """Instruction, input and output of a row with Alpaca's columns; `output`: there must be one."""
    needed = ("instruction", "output") if output else ("instruction",)
    if missing := [name for name in needed if record.get(name) is None]:
        raise DataError(
            f"there is no {missing[0]!r}; a row has instruction, input and output, or messages. "
            f"It has {', '.join(map(str, record)) or 'nothing'}."
        )
    values = {name: "" if record.get(name) is None else record[name] for name in ("instruction", "input", "output")}
    for name, value in values.items():
        check_text(value, name)
    if empty := [name for name in needed if not values[name].strip()]:
        raise DataError(f"{empty[0]} is empty.")
    return values["instruction"], values["input"], values["output"]


def check_messages(messages: object) -> list[dict[str, str]]:
    """Messages that end with one of the assistant."""
    if not isinstance(messages, list) or not messages:
        raise DataError(f"messages is {str(messages)[:60]!r}; it must be a list of role and content.")
    for number, message in enumerate(messages, start=1):
        place = f"messages: number {number}"
        if not isinstance(message, dict) or not {"role", "content"} <= set(message):
            raise DataError(f"{place} is {str(message)[:60]!r}; it must have role and content.")
        if message["role"] not in ROLES:
            raise DataError(f"{place}: role is {message['role']!r}; choose from {', '.join(ROLES)}.")
        if message["role"] == "system" and number > 1:
            raise DataError(f"{place} is of the system; only the first can be.")
        check_text(message["content"], f"{place}: content")
    if messages[-1]["role"] != "assistant" or not messages[-1]["content"].strip():
        raise DataError("messages: the last must be a text of the assistant.")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def dialogue(messages: list[dict[str, str]], tokenizer: PreTrainedTokenizerBase | None) -> Segments:
    """Messages as the chat template writes them; the turns of the assistant are trained, with the mark of their end.

    What the template writes behind the end token of a turn is read only. Where the last turn has no end token, one is
    put behind it.

    Raises:
        NoChatTemplate: the tokenizer has none.
        DataError: the template refuses the messages, or does not write them one after the other.
    """
    errors = require("jinja2", extra="train").exceptions
    render = _renderer(tokenizer)
    pieces: list[Segment] = []
    done = mark = ""
    try:
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, after = render(messages[:at], add_generation_prompt=True), render(messages[: at + 1])
            if not (before.startswith(done) and after.startswith(before)):
                raise DataError("messages: the chat template does not write the turns one after the other.")
            answer, mark, rest = "", "", after[len(before) :]
            if tokenizer.eos_token:
                answer, mark, rest = rest.rpartition(tokenizer.eos_token)
            pieces += [Segment(before[len(done) :]), Segment(answer + mark or rest, trained=True)]
            pieces += [Segment(rest)] if mark and rest else []
            done = after
    except errors.TemplateError as error:
        raise DataError(f"messages: the chat template refuses them ({error}).") from error
    if not mark:
        pieces[-1] = pieces[-1]._replace(end=True)
    return tuple(piece for piece in pieces if piece.text or piece.end)


class NoChatTemplate(ValueError):
    """There are messages to render, and the tokenizer has no chat template."""


def _renderer(tokenizer: PreTrainedTokenizerBase | None) -> Callable[..., str]:
    if tokenizer is None or tokenizer.chat_template is None:
        raise NoChatTemplate(
            "the data are messages, and the tokenizer has no chat template; name another tokenizer, or give rows with "
            "instruction, input and output."
        )
    return partial(tokenizer.apply_chat_template, tokenize=False)


def mix(parts: Sequence[Sequence[Row]], weights: Sequence[float], seed: int = 0) -> list[Row]:
    """As many rows as all parts have together, so many of each part as its weight says, in random order.

    Of N rows, part i gives N·wᵢ/Σw, rounded by largest remainder (of equal ones the first part wins). A part that has
    to give more rows than it has is gone through as a whole as often as possible; the rest is drawn from it without
    replacement. All drawing is by one `random.Random(seed)`: the rests, part by part, then the order.

    Raises:
        ValueError: weights that are not one positive number per part.
    """
    if len(weights) != len(parts):
        raise ValueError(f"weights are {len(weights)} numbers for {len(parts)} files; give one per file.")
    if bad := [weight for weight in weights if not 0 < weight < float("inf")]:
        raise ValueError(f"a weight is {bad[0]}; weights are positive numbers.")
    rng = random.Random(seed)
    mixed = []
    for part, count in zip(parts, _shares(sum(map(len, parts)), weights), strict=True):
        times, rest = divmod(count, len(part))
        mixed += [*part] * times + rng.sample(part, rest)
    rng.shuffle(mixed)
    return mixed


def _shares(total: int, weights: Sequence[float]) -> list[int]:
    exact = [Fraction(weight) for weight in weights]
    shares = [total * weight / sum(exact) for weight in exact]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda at: (counts[at] - shares[at], at))
    for at in by_remainder[: total - sum(counts)]:
        counts[at] += 1
    return counts

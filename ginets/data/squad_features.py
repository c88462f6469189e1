"""Questions and contexts → windows of tokens, for extractive question answering.

A window is question + a piece of the context, at most `max_seq_length` tokens; a long context gives several, which
overlap by `doc_stride` tokens. The ids are those that a fast tokenizer gives for the pair (`truncation="only_second"`),
but each distinct context is tokenised only once, however many questions share it: a fast tokenizer treats the two
texts of a pair apart, so question, piece of context and special tokens can be put together afterwards.

Offsets are exact: white space that a token carries (" the", "▁the") is no part of it.
"""

import logging
import tempfile
import uuid
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..extras import require
from .tabular import DataError


logger = logging.getLogger(__name__)

BATCH = 1000  # questions that are in memory at a time
CACHED_TOKENS = 2**22  # of contexts, about 100 MB; all paragraphs of the official training sets fit
POSITIONS = ("start_positions", "end_positions")
LAST_SPACE = 0x3000
IS_SPACE = np.array([chr(code).isspace() for code in range(LAST_SPACE + 1)])


class Context(NamedTuple):
    """A tokenised context: ids, and the characters [start, end) of each token; empty for one of white space only."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class PairTemplate(NamedTuple):
    """What a tokenizer puts around question and context.

    Attributes:
        before, between, after: ids of its special tokens.
        types: token types: one for each special token, one for the whole question and one for the whole context.
        null: position that stands for "no answer", counted from the end of a window where negative.
    """

    before: np.ndarray
    between: np.ndarray
    after: np.ndarray
    types: np.ndarray
    null: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> "PairTemplate":
        """Read off what the tokenizer makes of a pair. Raises `DataError` if it gives no offsets."""
        if not tokenizer.is_fast:
            raise DataError(
                f"{type(tokenizer).__name__} gives no character offsets; use a fast tokenizer (tokenizer.json)."
            )
        pair = tokenizer("a", "a", truncation=False, padding=False, return_token_type_ids=True)
        ids, types, texts = np.array(pair["input_ids"], np.int32), pair["token_type_ids"], pair.sequence_ids()
        question, context = texts.index(0), texts.index(1)
        between, after = len(texts) - texts[::-1].index(0), len(texts) - texts[::-1].index(1)
        # The CLS token; without one, an end token, which in a causal model has seen everything; else the first token,
        # special or of the question: never one of the context.
        outer = [*range(question), *range(after, len(ids))]
        cls_at = [i for i in outer if ids[i] == tokenizer.cls_token_id]
        null = cls_at[0] if cls_at else len(ids) - 1 if after < len(ids) else 0
        return cls(
            ids[:question],
            ids[between:context],
            ids[after:],
            np.array(types[: question + 1] + types[between : context + 1] + types[after:], np.int8),
            null if null < after else null - len(ids),
        )

    @property
    def special(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


class Windows:
    """Builds windows, a batch of questions at a time; remembers tokenised contexts.

    A question so long that it would leave no more than `doc_stride` tokens of room for a context that has to be cut
    (where the stock preprocessing fails) is cut itself: it keeps half of what special tokens and `doc_stride` leave.

    Args:
        tokenizer: a fast one; texts are put together in its own pair template.
        max_seq_length: tokens of a window, special ones included.
        doc_stride: tokens that two windows of a context share.
        labels: give `start_positions` and `end_positions`: the first gold answer that lies in the window as a whole,
            or the null position. Needs `answers`.
        characters: give what is needed to read answers from logits, see `batches`.
        cached_tokens: how many tokens of contexts are remembered; the least recently used ones are forgotten.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_seq_length: int = 384,
        doc_stride: int = 128,
        labels: bool = False,
        characters: bool = False,
        cached_tokens: int = CACHED_TOKENS,
    ):
        self.tokenizer, self.template = tokenizer, PairTemplate.of(tokenizer)
        self.doc_stride, self.labels, self.characters = doc_stride, labels, characters
        self.room = max_seq_length - self.template.special
        self.question_room = self.room - doc_stride
        if not 0 <= doc_stride < self.room - 1:
            raise DataError(
                f"doc_stride is {doc_stride} and max_seq_length {max_seq_length}; doc_stride must be at least 0 and "
                f"less than {self.room - 1}, what a window holds beside {self.template.special} special tokens and "
                "one token of question."
            )
        self.cut_questions = 0
        self._cached_tokens, self._size = cached_tokens, 0
        self._contexts: OrderedDict[str, Context] = OrderedDict()

    def batches(self, examples) -> Iterator:
        """Windows of a `datasets.Dataset` with the columns of `ginets.data.squad`, in its order.

        Yields:
            `pyarrow.Table`s with `input_ids`, `token_type_ids` (if the model takes them), `length` in tokens and, on
            demand, `start_positions`, `end_positions`; `example` (row of `examples`), `null_position`,
            `context_start` (position of the first context token), `char_starts` and `char_ends` (characters of each
            context token in this window; equal for one that is white space only).
        """
        for first in range(0, len(examples), BATCH):
            yield self._table(examples[first : first + BATCH], first)
        if self.cut_questions:
            logger.warning("%d questions are too long for the window and were cut.", self.cut_questions)

    def _table(self, batch: dict[str, list], first: int):
        """The windows of one batch, put together from pieces of tokenised texts."""
        template, pieces, windows = self.template, [], []
        contexts = self._tokenized(batch["context"])
        questions = self._encode([question.lstrip() for question in batch["question"]])  # some have plenty of it
        for row, (encoded, context) in enumerate(zip(questions, contexts, strict=True)):
            question, total = self._fitting(encoded.ids, len(context.ids)), len(context.ids)
            room = self.room - len(question)
            golds = _token_spans(context, batch["answers"][row]) if self.labels else []
            for low in range(0, max(total - self.doc_stride, 1), max(room - self.doc_stride, 1)):
                high = min(low + room, total)
                inside = next(((a - low, b - low) for a, b in golds if low <= a <= b < high), (-1, -1))
                windows.append((row, len(question), low, high, *inside))
                pieces += template.before, question, template.between, context.ids[low:high], template.after
        rows, sizes, lows, highs, starts, ends = np.array(windows, np.int32).T
        heads = len(template.before) + sizes + len(template.between)  # tokens before the context
        lengths = heads + (highs - lows) + len(template.after)
        nulls = template.null + (lengths if template.null < 0 else 0 * lengths)
        columns = {"input_ids": _ragged(np.concatenate(pieces), lengths), "length": lengths}
        if "token_type_ids" in self.tokenizer.model_input_names:
            counts = np.ones((len(windows), len(template.types)), np.int32)
            counts[:, len(template.before)], counts[:, -1 - len(template.after)] = sizes, highs - lows
            types = np.repeat(np.tile(template.types, len(windows)), counts.ravel())
            columns["token_type_ids"] = _ragged(types, lengths)
        if self.labels:
            columns["start_positions"] = np.where(starts < 0, nulls, heads + starts)
            columns["end_positions"] = np.where(ends < 0, nulls, heads + ends)
        if self.characters:
            columns |= {"example": first + rows, "null_position": nulls, "context_start": heads}
            for name, which in (("char_starts", 1), ("char_ends", 2)):
                shown = [contexts[row][which][low:high] for row, _, low, high, *_ in windows]
                columns[name] = _ragged(np.concatenate(shown), highs - lows)
        return require("pyarrow", extra="train").table(columns)

    def _fitting(self, question: list[int], context: int) -> np.ndarray:
        """Ids of a question, cut if its context (of so many tokens) has to be cut and too little room is left for it."""
        if self.cuts(len(question), context):
            self.cut_questions += 1
            question = question[: self.question_room // 2]
        return np.array(question, np.int32)

    def cuts(self, question: int, context: int) -> bool:
        """Whether a question of so many tokens is cut in front of a context of so many."""
        return question >= self.question_room and question + context > self.room

    def _tokenized(self, texts: Sequence[str]) -> list[Context]:
        """The contexts of a batch; tokenises those that are new."""
        known = self._contexts
        if new := [text for text in dict.fromkeys(texts) if text not in known]:
            known.update(zip(new, _exact(new, self._encode(new)), strict=True))
            self._size += sum(len(known[text].ids) for text in new)
        for text in texts:
            known.move_to_end(text)
        found = [known[text] for text in texts]
        while self._size > self._cached_tokens:
            self._size -= len(known.popitem(last=False)[1].ids)
        return found

    def _encode(self, texts: list[str]) -> list:
        """`tokenizers.Encoding`s of single texts without special tokens."""
        options = {"add_special_tokens": False, "truncation": False, "padding": False, "verbose": False}
        return self.tokenizer(texts, **options, return_attention_mask=False, return_token_type_ids=False).encodings


def build_features(examples, tokenizer: PreTrainedTokenizerBase, folder: str | Path | None = None, **options):
    """All windows as a `datasets.Dataset`, written batch by batch to a file and read from there (memory-mapped).

    Args:
        examples: a `datasets.Dataset` with the columns of `ginets.data.squad`.
        tokenizer: a fast one.
        folder: where the file goes; by default a temporary folder that goes with the process.
        options: of `Windows`.

    Returns:
        The columns of `Windows.batches`. Pad them with `SpanCollator`.
    """
    datasets, pyarrow = require("datasets", extra="train"), require("pyarrow", extra="train")
    if not len(examples):
        raise DataError("there are no questions to build features of.")
    path = Path(folder or _scratch().name) / f"{uuid.uuid4().hex}.arrow"
    batches = Windows(tokenizer, **options).batches(examples)
    head = next(batches)
    with pyarrow.ipc.new_stream(str(path), head.schema) as stream:
        for table in chain([head], batches):
            stream.write_table(table)
    return datasets.Dataset.from_file(str(path))


@dataclass
class SpanCollator:
    """Pads windows of a batch on the right, whatever side the tokenizer prefers.

    Positions then stay what they are. A question answering head reads one output per token, so that a causal model,
    whose tokenizer pads on the left for the sake of generation, is not hurt.
    """

    tokenizer: PreTrainedTokenizerBase
    pad_to_multiple_of: int | None = None
    max_length: int | None = None

    def __call__(self, windows: list[dict]) -> dict:
        """Windows → tensors `(batch, length)`, and `start_positions`, `end_positions` `(batch,)` where given."""
        names = [name for name in windows[0] if name in (*self.tokenizer.model_input_names, *POSITIONS)]
        return self.tokenizer.pad(
            {name: [window[name] for window in windows] for name in names},
            padding="max_length" if self.max_length else True,
            padding_side="right",
            max_length=self.max_length,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors="pt",
        )


def _exact(texts: list[str], encodings: list) -> list[Context]:
    """Ids and offsets of tokenised contexts, the offsets without white space at either end; all texts at once."""
    counts = [len(each.ids) for each in encodings]
    pairs = chain.from_iterable(chain.from_iterable(each.offsets for each in encodings))
    offsets = np.fromiter(pairs, np.int64, 2 * sum(counts)).reshape(-1, 2)
    bases = np.repeat(np.cumsum([0, *map(len, texts[:-1])]), counts)  # where each text begins in all of them
    starts, ends = (offsets + bases[:, None]).T
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4")
    solid = np.append(~IS_SPACE[np.where(codes > LAST_SPACE, 0, codes)], True)
    here = np.arange(len(solid))
    following = np.minimum.accumulate(np.where(solid, here, len(here))[::-1])[::-1]  # next character that is no space
    last = np.maximum.accumulate(np.where(solid, here, -1))  # and the one before
    starts = np.minimum(following[starts], ends)
    ends = np.maximum(starts, last[np.maximum(ends - 1, 0)] + 1)
    parts = [(part - bases).astype(np.int32) for part in (starts, ends)]
    cuts = np.cumsum(counts)[:-1]
    ids = [np.array(each.ids, np.int32) for each in encodings]
    return [Context(*each) for each in zip(ids, *(np.split(part, cuts) for part in parts), strict=True)]


def _token_spans(context: Context, answers: dict[str, list]) -> list[tuple[int, int]]:
    """First and last token of each gold answer: the fewest that cover its characters, outer white space aside."""
    spans = []
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        start += len(text) - len(text.lstrip())
        first = bisect_right(context.starts, start) - 1
        last = bisect_left(context.ends, start + len(text.strip()))
        if first >= 0 and last < len(context.ids):  # a tokenizer may drop characters, and with them an end
            # of a single character that several tokens share, `first` is the last of these and `last` the first
            spans.append((min(first, last), max(first, last)))
    return spans


def _ragged(values: np.ndarray, lengths: np.ndarray):
    """A column of lists, from all values in a row."""
    pyarrow = require("pyarrow", extra="train")
    return pyarrow.ListArray.from_arrays(np.append(0, np.cumsum(lengths)).astype(np.int32), pyarrow.array(values))


@cache
def _scratch() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="ginets-squad-")

"""Tokens of one answer as text, piece by piece: no half characters, nothing behind a stop string."""

from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerBase


CONTEXT = 4  # tokens that the next ones are decoded with: those of a character


class TextFeed:
    """Takes tokens one at a time until the answer is finished.

    Args:
        limit: tokens at most.
        end_ids: tokens that end the answer.
        stop: strings that end it; neither they nor what follows is given out.
        sink: is told each piece of text; together they are `text`.
        before: tokens that the text stands behind. A tokenizer may drop the blank that a text begins with.

    Attributes:
        count: tokens taken, the end token included.
        finish_reason: `stop` or `length` once it is finished.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        limit: int,
        end_ids: set[int],
        stop: Sequence[str] = (),
        sink: Callable[[str], None] | None = None,
        before: Sequence[int] = (),
    ):
        self.tokenizer, self.limit, self.end_ids, self.sink = tokenizer, limit, end_ids, sink
        self.stop = [each for each in stop if each]
        self.held = max(map(len, self.stop), default=1) - 1  # characters that may be the begin of a stop string
        self.ids = list(before[-CONTEXT:])
        self.known, self.shown = 0, len(self.ids)  # tokens before which text is settled; and up to which it is decoded
        self.text = self.pending = ""
        self.count = 0
        self.finish_reason: str | None = None

    def put(self, token: int) -> None:
        if self.finish_reason:
            return
        self.count += 1
        if token in self.end_ids:
            self.finish("stop")
            return
        self.ids.append(token)
        self.pending += self.decoded()
        if self.cut_at_stop():
            self.finish("stop", flush=False)
        elif self.count == self.limit:
            self.finish("length")
        else:
            self.give(len(self.pending) - self.held)

    def finish(self, reason: str, flush: bool = True) -> None:
        self.finish_reason = reason
        if flush:
            self.pending += self.decoded(last=True)
            self.cut_at_stop()
        self.give(len(self.pending))

    def decoded(self, last: bool = False) -> str:
        """The text that new tokens add. Those before them are decoded with them, for blanks depend on neighbours."""
        before = self.decode(self.ids[self.known : self.shown])
        now = self.decode(self.ids[self.known :])
        if len(now) <= len(before) or (now.endswith("\ufffd") and not last):  # nothing yet, or half a character
            return ""
        self.known, self.shown = self.shown, len(self.ids)
        return now[len(before) :]

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) if ids else ""

    def cut_at_stop(self) -> bool:
        found = [at for each in self.stop if (at := self.pending.find(each)) >= 0]
        if found:
            self.pending = self.pending[: min(found)]
        return bool(found)

    def give(self, size: int) -> None:
        if size > 0:
            piece, self.pending = self.pending[:size], self.pending[size:]
            self.text += piece
            if self.sink:
                self.sink(piece)

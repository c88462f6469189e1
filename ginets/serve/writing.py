"""A language model that is served: prompts of several users together, each with its own end."""

import random
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.generation.streamers import BaseStreamer

from ..data.instruct import NoChatTemplate
from ..data.segments import Segment, tokenize
from ..data.tabular import DataError
from ..data.templates import ALPACA
from ..generation.batches import left_padded
from ..generation.conversation import Conversation
from ..generation.decoding import RANGES, Decoding
from ..generation.writer import settle
from .engine import Served
from .limits import RequestError
from .text import TextFeed


ROOM = 256  # tokens of an answer where a request names no number
DRAWS = threading.Lock()  # torch has one stream of random numbers for all models


@dataclass(eq=False)
class Prompt:
    """What to go on from.

    Attributes:
        feed: takes the tokens.
        cancelled: nobody waits for the rest.
    """

    ids: list[int]
    decoding: Decoding
    adapter: str | None
    feed: TextFeed
    seed: int | None = None
    cancelled: bool = field(default=False)

    @property
    def way(self) -> Hashable:
        """How tokens are chosen, but for their number. Draws of a seed depend on the batch, so those stay alone."""
        return self if self.seed is not None else replace(self.decoding, max_new_tokens=1)

    @property
    def done(self) -> bool:
        return self.cancelled or self.feed.finish_reason is not None


class Writing(Served):
    """Args:
    template: `chat`, `alpaca`, or `auto`: the chat template of the tokenizer, or Alpaca's where there is none.
    """

    template = "auto"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.end_ids, self.pad_id = settle(self.model, self.tokenizer)

    # ------------------------------------------------------------------ reading requests

    def text_ids(self, text: str, place: str) -> list[int]:
        ((ids, _),) = tokenize([(Segment(text),)], self.reader)
        if not ids:
            raise RequestError(400, f"{place} is empty.", "empty", place)
        return ids

    def chat_ids(self, messages: Sequence[tuple[str, str]]) -> list[int]:
        """Messages `(role, text)`: perhaps one of the system, then user and assistant in turn, the user last.

        Raises:
            RequestError: they are not, or there is no template that takes them.
        """
        (role, first), *rest = messages
        system, said = (first, rest) if role in ("system", "developer") else ("", list(messages))
        expected = ["user", "assistant"] * (len(said) // 2) + ["user"]
        if [role for role, _ in said] != expected:
            message = (
                "messages must be one of the system, if any, then user and assistant in turn, with the user last."
            )
            raise RequestError(400, message, "bad_messages", "messages")
        texts = [text for _, text in said]
        turns = list(zip(texts[:-1:2], texts[1::2], strict=True))
        by_chat = self.template == "chat" or (self.template == "auto" and self.reader.chat_template is not None)
        try:
            return Conversation(self.reader, None if by_chat else ALPACA, system, turns).prompt(texts[-1])
        except (DataError, NoChatTemplate, ValueError) as error:
            raise RequestError(400, str(error), "bad_messages", "messages") from error

    def prompt(
        self,
        ids: list[int],
        adapter: str | None,
        max_tokens: int | None,
        temperature: float,
        top_p: float,
        seed: int | None,
        stop: Sequence[str],
        sink: Callable[[str], None] | None,
        place: str,
        goes_on: bool = False,
    ) -> Prompt:
        """`goes_on`: the answer is put behind the text of the prompt, with the blank between them, if there is one.

        Raises:
            RequestError: prompt and answer are longer than the model, or the server, allows.
        """
        if len(ids) > self.max_length:
            message = f"{place} has {len(ids)} tokens, at most {self.max_length} are taken."
            raise RequestError(400, message, "context_length_exceeded", place)
        room = self.positions - len(ids)
        wanted = max(1, min(ROOM, room, self.limits.new_tokens)) if max_tokens is None else max_tokens
        if wanted > self.limits.new_tokens:
            message = f"max_tokens is {wanted}; at most {self.limits.new_tokens} are written."
            raise RequestError(400, message, "max_tokens", "max_tokens")
        if wanted > room:
            message = f"{place} has {len(ids)} tokens and max_tokens is {wanted}; together at most {self.positions}."
            raise RequestError(400, message, "context_length_exceeded", place)
        settings = {"temperature": temperature, "top_p": top_p}
        # what is less than a `Decoding` takes differs in nothing from the least that it does
        drawn = {name: max(value, RANGES[name][0]) for name, value in settings.items()} if temperature > 0 else {}
        feed = TextFeed(self.tokenizer, wanted, self.end_ids, stop, sink, before=ids if goes_on else ())
        return Prompt(ids, Decoding(wanted, sample=bool(drawn), **drawn), adapter, feed, seed if drawn else None)

    # ------------------------------------------------------------------ in the model's thread

    def warm_up(self) -> None:
        ids = self.sample()["input_ids"]
        self.run([self.prompt(ids, self.chosen(None), 2, 0.0, 1.0, None, (), None, "prompt")])

    def run(self, prompts: Sequence[Prompt]) -> list[TextFeed]:
        """The finished feeds. Those of `way` alike are given together."""
        longest = max(each.decoding.max_new_tokens for each in prompts)
        decoding = replace(prompts[0].decoding, max_new_tokens=longest)
        batch = left_padded([each.ids for each in prompts], self.pad_id)
        with ExitStack() as stack:
            if decoding.sample:
                stack.enter_context(DRAWS)
                stack.enter_context(torch.random.fork_rng())
                seed = prompts[0].seed
                torch.manual_seed(random.getrandbits(63) if seed is None else seed)
            stack.enter_context(torch.inference_mode())
            extra = stack.enter_context(self.adapted([each.adapter for each in prompts]))
            self.model.generate(
                **{name: tensor.to(self.model.device) for name, tensor in batch.items()},
                **extra,
                generation_config=decoding.generation_config(self.end_ids, self.pad_id),
                stopping_criteria=StoppingCriteriaList([Done(prompts)]),
                streamer=Feeds(prompts),
            )
        return [each.feed for each in prompts]


class Feeds(BaseStreamer):
    """Hands each row its tokens as they are chosen."""

    def __init__(self, prompts: Sequence[Prompt]):
        self.prompts, self.begun = prompts, False

    def put(self, value: torch.Tensor) -> None:
        if self.begun:
            for prompt, token in zip(self.prompts, value.tolist(), strict=True):
                if not prompt.cancelled:
                    prompt.feed.put(token)
        self.begun = True  # the first value are the prompts

    def end(self) -> None:
        """Every row knows its own end."""


class Done(StoppingCriteria):
    """A row has ended once its feed has, or nobody waits for it."""

    def __init__(self, prompts: Sequence[Prompt]):
        self.prompts = prompts

    def __call__(self, input_ids: torch.Tensor, scores, **kwargs) -> torch.Tensor:
        return torch.tensor([each.done for each in self.prompts], device=input_ids.device)

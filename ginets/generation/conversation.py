"""A conversation as a prompt: what was said, in the form the model was trained on."""

from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from ..data.instruct import dialogue
from ..data.segments import Segment, Segments, prompt_of, tokenize
from ..data.templates import Template
from .instructions import ANSWER


@dataclass
class Conversation:
    """Questions with their answers so far.

    Args:
        template: of instructions; None for the chat template of the tokenizer.
        system: what a chat template is to say first.
    """

    tokenizer: PreTrainedTokenizerBase
    template: Template | None = None
    system: str = ""
    turns: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self):
        if self.template is None and self.tokenizer.chat_template is None:
            raise ValueError("the tokenizer has no chat template; choose the template alpaca.")
        if self.template is not None and self.system:
            raise ValueError("system is for chat templates; a template of instructions has its own preamble.")

    def prompt(self, question: str, room: int | None = None) -> list[int]:
        """The ids to answer after, as in training; the oldest turns are forgotten until there are at most `room`.

        Raises:
            ValueError: the question alone is longer, or the chat template refuses it.
        """
        while True:
            ((ids, _),) = tokenize([self.segments(question)], self.tokenizer)
            if room is None or len(ids) <= room:
                return ids
            if not self.turns:
                raise ValueError(f"that has {len(ids)} tokens, and there is room for {room}.")
            del self.turns[0]

    def segments(self, question: str) -> Segments:
        if self.template is None:
            return prompt_of(dialogue([*self.messages(question), ANSWER], self.tokenizer))
        said = [
            piece
            for asked, answer in self.turns
            for piece in (
                Segment(self.template.prompt(asked)),
                Segment(answer, end=self.tokenizer.eos_token_id is not None),
            )
        ]
        return (*said, Segment(self.template.prompt(question)))

    def messages(self, question: str) -> list[dict[str, str]]:
        said = [("system", self.system)] if self.system else []
        for asked, answer in self.turns:
            said += [("user", asked), ("assistant", answer)]
        return [{"role": role, "content": content} for role, content in (*said, ("user", question))]

    def add(self, question: str, answer: str) -> None:
        """Remember a turn; of a text that goes on with further headings, the answer alone."""
        self.turns.append((question, self.template.answer(answer) if self.template else answer))

"""What requests and answers look like."""

from itertools import islice
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def whole(text: str) -> str:
    """JSON can write half a surrogate pair, which is no text."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text; it has half a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(whole)]


MESSAGES = 512  # of a conversation: to write it as in training takes time that grows with their square
SEVERAL = Field(min_length=1, fail_fast=True)  # the first wrong one of a long list is enough


class Given(BaseModel):
    """What a request is made of. Unknown fields are refused: a misspelt one would be ignored without a word.

    A field that is null is one that is not given, as for the clients of OpenAI's API.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def known(cls, given: object) -> object:
        """Of unknown fields the first is kept, to be refused: there may be a hundred thousand."""
        if not isinstance(given, dict):
            return given
        fields = {name: given[name] for name in cls.model_fields if given.get(name) is not None}
        unknown = (name for name, value in given.items() if name not in cls.model_fields and value is not None)
        return fields | {name: given[name] for name in islice(unknown, 1)}


class Request(Given):
    model: Text | None = Field(None, description="NAME or NAME:ADAPTER; may be left out where one model is served")


class Pair(Given):
    text: Text
    text_pair: Text | None = None


Input = Text | Pair
MAPS = Field(False, description="also return tokens and, per layer, the mean of all heads")


class TextsRequest(Request):
    inputs: Input | Annotated[list[Input], SEVERAL] = Field(description="a text, a pair, or a list of them")
    truncate: bool = Field(False, description="cut what is too long instead of refusing it")
    attention: bool = MAPS


class FillRequest(TextsRequest):
    top_k: int = Field(5, ge=1, le=100)


class AnswerRequest(Request):
    question: Text = Field(min_length=1)
    context: Text = Field(min_length=1)
    top_k: int = Field(1, ge=1, le=20)
    max_answer_length: int = Field(30, ge=1, le=512, description="in tokens")
    no_answer: bool = Field(False, description="allow an empty answer")
    attention: bool = MAPS


class AttentionMap(BaseModel):
    tokens: list[str]
    special: list[bool]
    layers: list[list[list[float]]] = Field(description="layer, token that looks, token looked at; mean of all heads")


class Label(BaseModel):
    label: str
    score: float
    scores: dict[str, float]
    logits: list[float]
    attention: AttentionMap | None = None


class Entity(BaseModel):
    """Neighbouring words of one label, B- and I- taken together."""

    label: str
    score: float
    text: str
    start: int
    end: int


class Entities(BaseModel):
    entities: list[Entity]
    attention: AttentionMap | None = None


class Fill(BaseModel):
    token: str
    score: float
    text: str


class Fills(BaseModel):
    masks: list[list[Fill]] = Field(description="one list per mask, best first")
    attention: AttentionMap | None = None


class Span(BaseModel):
    answer: str
    score: float
    start: int
    end: int


class Answer(Span):
    model: str
    alternatives: list[Span]
    attention: AttentionMap | None = None


class Labels(BaseModel):
    model: str
    results: list[Label]


class EntityLists(BaseModel):
    model: str
    results: list[Entities]


class FillLists(BaseModel):
    model: str
    results: list[Fills]


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    error: ErrorDetail


class StreamOptions(Given):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class WriteRequest(Request):
    """The part of OpenAI's API that is offered; other values of known fields are refused, not ignored."""

    temperature: float = Field(1.0, ge=0, le=2, description="0: greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = Field(None, ge=0, lt=2**63)
    stop: Text | Annotated[list[Text], Field(max_length=4, fail_fast=True)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Literal[1] = 1
    presence_penalty: float = Field(0, ge=0, le=0)
    frequency_penalty: float = Field(0, ge=0, le=0)
    user: str | None = None


class CompletionRequest(WriteRequest):
    prompt: Text | Annotated[list[Text], SEVERAL]
    max_tokens: int = Field(16, ge=1)
    attention: bool = MAPS


class Part(Given):
    type: Literal["text"]
    text: Text


class Message(Given):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[Part], SEVERAL]
    name: str | None = None

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatRequest(WriteRequest):
    messages: list[Message] = Field(min_length=1, max_length=MESSAGES, fail_fast=True)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: Literal[False] = False

"""Models of this process: the server's engine behind its own application, and what only it can do, other levels."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
from transformers import PreTrainedConfig

from ..serve.app import create_app
from ..serve.batcher import Job
from ..serve.engine import Row, Served
from ..serve.limits import Limits, RequestError
from ..serve.opening import open_model, read_names
from ..serve.service import Service
from ..viz.attention import base_of, capture
from .source import CONTINUED, Look, Refused, Source
from .transport import InProcess


URL = "http://127.0.0.1"


class LocalSource(Source):
    """Args:
    service: whose models are warm.
    """

    def __init__(self, service: Service):
        self.service = service
        service.ready = True
        heads = {name: service.models[name.partition(":")[0]].head for name in service.names()}
        super().__init__(URL, InProcess(create_app(service)), heads)
        self.levels = {
            name: next((each.inhibition_level for each in holders(*self.find(name))), None) for name in heads
        }

    def close(self) -> None:
        self.service.close()

    def level_of(self, model: str) -> float | None:
        return self.levels[model]

    def find(self, model: str) -> tuple[Served, str | None]:
        """The model, and PEFT's name of its adapter."""
        return self.service.find(model, self.heads[model])

    async def look(self, model: str, text: str, pair: str | None = None, level: float | None = None) -> Look:
        """As the server answers, with all heads, and at any level."""
        served, chosen = self.find(model)
        if level is not None and self.level_of(model) is None:
            raise Refused(f"{model} inhibits nothing, so it has no level to change.")
        try:
            await self.check(served, text, pair)
            work = await self.service.read(served, READ[served.head], served, text, pair, chosen)

            def both(works: list) -> list[Look]:
                """In the model's thread, where nobody else sees the other level."""
                with at_level(holders(served, chosen), level):
                    (answer,) = served.run(works)
                    with served.adapted([chosen]):
                        attention = capture(served.model, served.tokenizer, text, pair, served.max_length)
                return [Look(answer if isinstance(answer, dict) else {"text": answer.text}, attention, all_heads=True)]

            (look,) = await self.service.run(served, [Job(both, work, key=object())])
        except (RequestError, ValueError) as error:
            message = str(error)
            raise Refused(message[:1].upper() + message[1:]) from error
        return look

    async def check(self, served: Served, text: str, pair: str | None) -> None:
        """Raises `RequestError`: pictures of long texts can neither be sent nor read."""
        limit = min(self.service.limits.attention_tokens, served.max_length)
        encoding = await self.service.read(served, served.reader, text, pair, verbose=False)
        if (count := len(encoding["input_ids"])) > limit:
            message = f"attention is drawn for at most {limit} tokens; this text has {count}."
            raise RequestError(400, message, "context_length_exceeded", "attention")


def read_text(served: Served, text: str, pair: str | None, adapter: str | None) -> Row:
    return served.read(text, pair, False, adapter, "the text")


def read_question(served: Served, text: str, pair: str | None, adapter: str | None):
    served.check(text, pair or "")
    return served.read(text, pair, adapter)


def read_prompt(served: Served, text: str, pair: str | None, adapter: str | None):
    ids = served.text_ids(text, "the text")
    wanted = max(1, min(CONTINUED, served.limits.new_tokens, served.max_length - len(ids)))
    return served.prompt(ids, adapter, wanted, 0.0, 1.0, None, (), None, "the text")


# head → how a text or a pair becomes work for the engine
READ = {
    "SequenceClassification": read_text,
    "TokenClassification": read_text,
    "MaskedLM": read_text,
    "QuestionAnswering": read_question,
    "CausalLM": read_prompt,
}


def holders(served: Served, adapter: str | None) -> list[PreTrainedConfig]:
    """The config that holds the level in use: of an InA adapter, else of a model with gates or branches."""
    own = getattr(served.model, "peft_config", {}).get(adapter)
    if hasattr(own, "inhibition_level"):
        return [own]
    base = base_of(served.model).config
    return [base] if getattr(base, "inhibited_sides", ()) or getattr(base, "inhibited_projections", ()) else []


@contextmanager
def at_level(configs: Sequence, level: float | None) -> Iterator[None]:
    """Another inhibition level for a while: gates and branches read it at each forward. None changes nothing."""
    before = [config.inhibition_level for config in configs]
    try:
        for config in configs if level is not None else ():
            config.inhibition_level = level
        yield
    finally:
        for config, value in zip(configs, before, strict=True):
            config.inhibition_level = value


def open_source(models: Sequence[str], server: str | None, device: str | None = None) -> Source:
    """The server at a URL, or the models, loaded and warm.

    Raises:
        OSError: the server cannot be reached.
        ValueError: neither or both are given, or a model cannot be loaded.
    """
    if bool(models) == bool(server):
        raise ValueError("give models to load, or the URL of a server, one of the two.")
    if server:
        if httpx.URL(server).scheme not in ("http", "https"):
            raise ValueError(f"server is {server!r}; it must be a URL such as http://127.0.0.1:8000.")
        return Source(server)
    limits, opened = Limits(), []
    for name, (path, adapters) in read_names(models, []).items():
        served = open_model(name, path, adapters, limits)
        if device:
            served.model.to(device)
        served.warm_up()
        opened.append(served)
    return LocalSource(Service(opened, limits))

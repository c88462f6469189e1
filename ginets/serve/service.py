"""What all routes share: which model is meant, its batches, the time they may take."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from .batcher import Batcher, Job
from .engine import Served
from .limits import Limits, RequestError
from .metrics import Metrics
from .writing import Writing


logger = logging.getLogger(__name__)

ROUTES = {
    "SequenceClassification": "/v1/classify",
    "QuestionAnswering": "/v1/answer",
    "TokenClassification": "/v1/tokens",
    "MaskedLM": "/v1/fill-mask",
    "CausalLM": "/v1/completions or /v1/chat/completions",
}
T = TypeVar("T")


class Service:
    """Args:
    models: that are served; their names are their own.
    threads: of torch, for each model.
    log_texts: write what users ask into the log.
    """

    def __init__(self, models: Iterable[Served], limits: Limits, threads: int | None = None, log_texts: bool = False):
        self.models = {model.name: model for model in models}
        self.limits, self.log_texts, self.metrics = limits, log_texts, Metrics()
        self.in_progress, self.ready, self.draining = 0, False, False
        self.batchers, self.readers = {}, {}
        for name, model in self.models.items():
            observe = functools.partial(self.observe, name)
            self.batchers[name] = Batcher(model.max_rows, limits.batch_tokens, model.positions, observe, threads)
            self.readers[name] = ThreadPoolExecutor(1, "reader")  # one, for the sake of the tokenizer

    def observe(self, name: str, jobs: Sequence[Job], rows: int, seconds: float) -> None:
        self.metrics.batch(name, jobs, rows, seconds, time.perf_counter())

    def names(self) -> list[str]:
        """What requests may put in `model`."""
        return [
            each for name, model in self.models.items() for each in (name, *(f"{name}:{a}" for a in model.adapters))
        ]

    def find(self, name: str | None, head: str) -> tuple[Served, str | None]:
        """The model and PEFT's name of the adapter that a request means.

        Raises:
            RequestError: there is no such model, or it has another head.
        """
        if name is None:
            if len(self.models) > 1:
                raise RequestError(
                    400, f"model is missing; choose from {', '.join(self.names())}.", "no_model", "model"
                )
            name = next(iter(self.models))
        model, colon, adapter = name.partition(":")
        if model not in self.models:
            raise self.unknown(name)
        served = self.models[model]
        chosen = served.chosen(adapter if colon else None)
        if served.head != head:
            message = f"model {model!r} is for {served.head}; ask it at {ROUTES[served.head]}."
            raise RequestError(400, message, "wrong_head", "model")
        return served, chosen

    def unknown(self, name: str) -> RequestError:
        message = f"there is no model {name[:80]!r}; choose from {', '.join(self.names())}."
        return RequestError(404, message, "model_not_found", "model")

    async def read(self, served: Served, call: Callable[..., T], *args, **kwargs) -> T:
        """`call` in the one thread that may use the tokenizer."""
        job = functools.partial(call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.readers[served.name], job)

    async def run(self, served: Served, jobs: Sequence[Job]) -> list:
        """The results of jobs, in time."""
        async with self.in_time():
            return await self.batchers[served.name].submit(jobs)

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """What is awaited in here ends within the time that an answer may take.

        Raises:
            RequestError: 504, it did not.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except TimeoutError as error:
            message = (
                f"no answer within {self.limits.seconds:g} seconds; ask for less, or again when there is less to do."
            )
            raise RequestError(504, message, "timeout") from error

    async def attention(
        self, served: Served, texts: Sequence[tuple[str, str | None]], adapter: str | None
    ) -> list[dict]:
        """The attention maps of texts.

        Raises:
            RequestError: a text is too long, or the model gives no weights.
        """
        if len(texts) > 1:
            raise RequestError(400, "attention is given for one text at a time.", "no_attention", "attention")
        limit = min(self.limits.attention_tokens, served.max_length)
        if not served.reader.is_fast:
            raise RequestError(400, "the tokenizer of this model knows no offsets; attention needs them.", "no_attention", "attention")  # fmt: skip
        for text, pair in texts:
            count = len((await self.read(served, served.reader, text, pair, verbose=False))["input_ids"])
            if count > limit:
                message = f"attention is given for at most {limit} tokens; this text has {count}."
                raise RequestError(400, message, "context_length_exceeded", "attention")
        jobs = [Job(served.attention, (text, pair, adapter), key=object(), length=limit) for text, pair in texts]
        try:
            return await self.run(served, jobs)
        except ValueError as error:
            raise RequestError(400, f"attention: {error}", "no_attention", "attention") from error

    async def write(self, served: Writing, prompts: Sequence) -> list:
        """The finished feeds of prompts; if nobody waits any more, those that are being written end early."""
        self.count(served, sum(len(each.ids) for each in prompts), "read")
        try:
            jobs = [
                Job(
                    served.run,
                    each,
                    (served.key(each.adapter), each.way),
                    1,
                    len(each.ids),
                    each.decoding.max_new_tokens,
                )
                for each in prompts
            ]
            return await self.run(served, jobs)
        finally:
            for each in prompts:
                each.cancelled = True
            self.count(served, sum(each.feed.count for each in prompts), "written")

    def count(self, served: Served, tokens: int, direction: str) -> None:
        self.metrics.tokens.labels(served.name, direction).inc(tokens)

    def figures(self) -> bytes:
        for name, batcher in self.batchers.items():
            self.metrics.queue.labels(name).set(sum(job.rows for job in batcher.waiting if not job.future.done()))
        self.metrics.in_progress.set(self.in_progress)
        return self.metrics.text()

    def close(self) -> None:
        for each in self.batchers.values():
            each.close()
        for each in self.readers.values():
            each.shutdown()

"""The part of OpenAI's API that a language model needs: models, completions, chat, with streaming."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from . import schemas
from .limits import RequestError
from .service import Service
from .text import TextFeed
from .writing import Prompt, Writing


T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """How completions and chat differ.

    Attributes:
        choice: text → the part of a choice that holds it.
        piece: the same for a piece of a stream; None: the first, empty one.
    """

    name: str
    prefix: str
    whole: str
    streamed: str
    choice: Callable[[str], dict]
    piece: Callable[[str | None], dict]


COMPLETION = Form(
    "completions", "cmpl", "text_completion", "text_completion", lambda text: {"text": text}, lambda text: {"text": text or ""}
)  # fmt: skip
CHAT = Form(
    "chat",
    "chatcmpl",
    "chat.completion",
    "chat.completion.chunk",
    lambda text: {"message": {"role": "assistant", "content": text, "refusal": None}},
    lambda text: {"delta": {"role": "assistant", "content": ""} if text is None else {"content": text}},
)


def add_openai(app: FastAPI, service: Service) -> None:
    created = int(time.time())

    def about(name: str) -> dict:
        head = service.models[name.partition(":")[0]].head
        return {"id": name, "object": "model", "created": created, "owned_by": "ginets", "head": head}

    @app.get("/v1/models", tags=["state"])
    async def models() -> dict:
        """Names for the field `model`."""
        return {"object": "list", "data": [about(name) for name in service.names()]}

    @app.get("/v1/models/{name}", tags=["state"])
    async def model(name: str) -> dict:
        """One of them."""
        if name not in service.names():
            raise service.unknown(name)
        return about(name)

    @app.post("/v1/completions", tags=["language models"])
    async def completions(request: Request, asked: schemas.CompletionRequest):
        """What follows a prompt, or each of several."""
        served, adapter = service.find(asked.model, "CausalLM")
        texts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        if len(texts) > service.limits.inputs:
            message = f"prompt has {len(texts)} texts; at most {service.limits.inputs} are taken."
            raise RequestError(400, message, "too_many_inputs", "prompt")
        if asked.attention and asked.stream:
            raise RequestError(400, "attention is not given in a stream.", "no_attention", "attention")
        if service.log_texts:
            request.state.fields["texts"] = texts
        async with service.in_time():
            ids = [await service.read(served, served.text_ids, text, "prompt") for text in texts]
            talk = Talk(service, served, adapter, asked, ids, asked.max_tokens, COMPLETION, request)
            maps = (
                await service.attention(served, [(text, None) for text in texts], adapter) if asked.attention else None
            )
            return await talk.answer(maps)

    @app.post("/v1/chat/completions", tags=["language models"])
    async def chat(request: Request, asked: schemas.ChatRequest):
        """What the model answers in a conversation."""
        served, adapter = service.find(asked.model, "CausalLM")
        messages = [(message.role, message.text()) for message in asked.messages]
        limit = asked.max_completion_tokens if asked.max_tokens is None else asked.max_tokens
        if service.log_texts:
            request.state.fields["texts"] = messages
        async with service.in_time():
            ids = await service.read(served, served.chat_ids, messages)
            return await Talk(service, served, adapter, asked, [ids], limit, CHAT, request).answer()


class Talk:
    """One request to a language model, on its way to an answer.

    Raises:
        RequestError: a prompt or its answer is too long.
    """

    def __init__(
        self,
        service: Service,
        served: Writing,
        adapter: str | None,
        asked: schemas.WriteRequest,
        ids: list[list[int]],
        max_tokens: int | None,
        form: Form,
        request: Request,
    ):
        self.service, self.served, self.asked, self.form, self.request = service, served, asked, form, request
        self.pieces: asyncio.Queue = asyncio.Queue()
        self.head = {
            "id": f"{form.prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": asked.model or served.name,
        }
        stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
        place = "messages" if form is CHAT else "prompt"
        read = partial(
            served.prompt, adapter=adapter, max_tokens=max_tokens, temperature=asked.temperature, top_p=asked.top_p,
            seed=asked.seed, stop=stop, place=place, goes_on=form is COMPLETION,
        )  # fmt: skip
        self.prompts: list[Prompt] = [read(each, sink=self.sink(at)) for at, each in enumerate(ids)]
        request.state.fields |= {"model": served.name, "adapter": adapter, "tokens": sum(map(len, ids))}

    def sink(self, at: int) -> Callable[[str], None] | None:
        """Called in the model's thread."""
        if not self.asked.stream:
            return None
        loop = asyncio.get_running_loop()
        return lambda text: loop.call_soon_threadsafe(self.pieces.put_nowait, (at, text))

    async def answer(self, maps: list[dict] | None = None):
        if self.asked.stream:
            return StreamingResponse(
                self.stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
            )
        feeds = await while_asked(self.request, self.service.write(self.served, self.prompts))
        choices = [
            {"index": at, **self.form.choice(feed.text), "finish_reason": feed.finish_reason, "logprobs": None}
            for at, feed in enumerate(feeds)
        ]
        for choice, found in zip(choices, maps or (), strict=False):
            choice["attention"] = found
        return JSONResponse({**self.head, "object": self.form.whole, "choices": choices, "usage": self.usage(feeds)})

    def usage(self, feeds: list[TextFeed]) -> dict[str, int]:
        read, written = sum(len(each.ids) for each in self.prompts), sum(feed.count for feed in feeds)
        self.request.state.fields["written"] = written
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}

    async def stream(self) -> AsyncIterator[str]:
        """Server-sent events. If the client goes away, this is cancelled, and the writing with it."""
        writing = asyncio.create_task(self.service.write(self.served, self.prompts))
        # behind the pieces: those were put in by callbacks of the same loop before the task could end
        writing.add_done_callback(lambda _: self.pieces.put_nowait(None))
        try:
            if self.form is CHAT:
                yield self.event(0, None)
            while (piece := await self.pieces.get()) is not None:
                yield self.event(*piece)
            try:
                feeds = writing.result()
            except RequestError as error:
                yield f"data: {json.dumps(error.body())}\n\n"
                return
            for at, feed in enumerate(feeds):
                yield self.event(at, "", feed.finish_reason)
            usage = self.usage(feeds)
            if self.asked.stream_options and self.asked.stream_options.include_usage:
                yield f"data: {json.dumps({**self.head, 'object': self.form.streamed, 'choices': [], 'usage': usage})}\n\n"
            yield "data: [DONE]\n\n"
        finally:
            writing.cancel()

    def event(self, at: int, text: str | None, reason: str | None = None) -> str:
        choice = {"index": at, **self.form.piece(text), "finish_reason": reason, "logprobs": None}
        return f"data: {json.dumps({**self.head, 'object': self.form.streamed, 'choices': [choice]})}\n\n"


async def while_asked(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client goes away.

    Raises:
        RequestError: 499, it did; nobody reads this but the log.
    """
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone(request))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise RequestError(499, "the client has gone.", "gone")
        return tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def gone(request: Request) -> None:
    """Ends when the client goes away; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

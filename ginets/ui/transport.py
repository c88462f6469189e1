"""An application of this process, asked like one behind a network; unlike httpx's own transport it streams."""

import asyncio
from collections.abc import AsyncIterator

import httpx


class InProcess(httpx.AsyncBaseTransport):
    """Args:
    app: ASGI application. Its lifespan is the caller's affair.
    """

    def __init__(self, app):
        self.app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
            "scheme": request.url.scheme, "path": request.url.path, "raw_path": request.url.raw_path,
            "query_string": request.url.query, "root_path": "", "headers": [(k.lower(), v) for k, v in request.headers.raw],
            "server": (request.url.host, request.url.port), "client": ("127.0.0.1", 0),
        }  # fmt: skip
        answer = Answer(await request.aread())
        answer.task = asyncio.create_task(answer.work(self.app, scope))
        start = await answer.messages.get()
        if start is None:
            await answer.task  # raises what ended it before it could answer
            raise httpx.RemoteProtocolError("no answer", request=request)
        return httpx.Response(start["status"], headers=start["headers"], stream=answer)


class Answer(httpx.AsyncByteStream):
    """What the application sends, as it sends it. Whoever stops reading ends the work, as one who hangs up would."""

    task: asyncio.Task

    def __init__(self, body: bytes):
        self.body, self.gone = [body], asyncio.Event()
        self.messages: asyncio.Queue = asyncio.Queue()

    async def work(self, app, scope: dict) -> None:
        try:
            await app(scope, self.receive, self.messages.put)
        finally:
            self.messages.put_nowait(None)

    async def receive(self) -> dict:
        if self.body:
            return {"type": "http.request", "body": self.body.pop(), "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.messages.get()) is not None:
            yield message.get("body", b"")
        await self.task

    async def aclose(self) -> None:
        self.gone.set()
        self.task.cancel()
        await asyncio.wait([self.task])

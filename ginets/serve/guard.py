"""What stands before the routes: who may ask, how much at a time, and a line in the log for each request."""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import RequestError
from .service import Service


logger = logging.getLogger(__name__)

OPEN = ("/health", "/ready")  # need no key: they say nothing but a state


def error_response(error: RequestError) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
    return JSONResponse(error.body(), error.status, headers.get(error.status))


class Guard:
    """ASGI middleware.

    Args:
        hosts: names under which the server may be asked. A page elsewhere whose name was pointed at this machine
            (DNS rebinding) sends its own name.
        key: that requests have to bring as `Authorization: Bearer KEY`.
        paths: that appear in figures under their own name.
    """

    def __init__(self, app: ASGIApp, service: Service, hosts: Iterable[str], key: str | None, paths: Iterable[str]):
        self.app, self.service, self.key = app, service, key
        self.hosts, self.paths = {host.lower() for host in hosts}, set(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, name = time.perf_counter(), uuid.uuid4().hex
        fields = scope.setdefault("state", {})["fields"] = {}
        status = 0  # of an answer that has begun

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = name
                if self.service.draining:  # whoever has more to ask finds another server
                    headers["Connection"] = "close"
            async with asyncio.timeout(self.service.limits.seconds):  # of who does not read, the place is needed
                await send(message)

        self.service.in_progress += 1
        try:
            self.check(scope)
            await self.app(scope, self.limited(Headers(scope=scope), receive), answer)
        except RequestError as error:
            await error_response(error)(scope, receive, answer)
        except Exception:  # the outermost layer: a request gets an answer and the log the traceback, whatever failed
            logger.exception("request %s failed", name)
            if not status:
                error = RequestError(500, f"the server failed; its log says more about request {name}.", "failed")
                await error_response(error)(scope, receive, answer)
        finally:
            self.service.in_progress -= 1
            self.record(scope, name, status, time.perf_counter() - start, fields)

    def check(self, scope: Scope) -> None:
        """Raises `RequestError` for a request that is not to be read at all."""
        headers = Headers(scope=scope)
        if host_of(headers.get("host", "")) not in self.hosts:
            raise RequestError(
                400, "this server is not asked under that Host; allow it with --allowed-host.", "bad_host"
            )
        if scope["path"] in OPEN:
            return
        given = headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self.key is not None and not hmac.compare_digest(given, self.key.encode()):
            raise RequestError(401, "a valid key is missing; send Authorization: Bearer KEY.", "invalid_api_key")
        if scope["method"] == "POST":
            limits = self.service.limits
            if not self.service.ready:
                raise RequestError(503, "the models are not ready yet; ask again in a moment.", "not_ready")
            if self.service.in_progress > limits.concurrency:
                raise RequestError(
                    429, f"{limits.concurrency} requests are in progress; ask again in a moment.", "busy"
                )
            size = headers.get("content-length", "0")
            if size.isascii() and size.isdigit() and len(size) < 20 and int(size) > limits.body_bytes:
                raise RequestError(
                    413, f"the body has {size} bytes; at most {limits.body_bytes} are read.", "body_size"
                )

    def limited(self, headers: Headers, receive: Receive) -> Callable:
        """`receive`, for a body of a limited size that comes in limited time."""
        limits, size, complete = self.service.limits, 0, False
        end = time.monotonic() + limits.seconds

        async def limited() -> Message:
            nonlocal size, complete
            if complete:  # waits for the client to go away
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError as error:
                raise HTTPException(408, f"the body did not come within {limits.seconds:g} seconds.") from error
            complete = not message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > limits.body_bytes:
                raise HTTPException(413, f"the body is too large; at most {limits.body_bytes} bytes are read.")
            return message

        return limited

    def record(self, scope: Scope, name: str, status: int, seconds: float, fields: dict) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        self.service.metrics.requests.labels(path, str(status)).inc()
        self.service.metrics.latency.labels(path).observe(seconds)
        about = {"request": name, "method": scope["method"], "path": path, "status": status}
        logger.info("request", extra={"fields": about | {"ms": round(seconds * 1000, 2)} | fields})


def host_of(header: str) -> str:
    """Without the port: `[::1]:8000` → `::1`."""
    host = header.strip().lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]

"""What stands before Gradio: who may ask, and no files."""

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ..serve.guard import host_of


# routes of Gradio that read or write files, or fetch from elsewhere; the page needs none
FILES = (
    "/upload",
    "/file=",
    "/file/",
    "/proxy=",
    "/reverse_proxy",
    "/custom_component",
    "/monitoring",
    "/deep_link",
    "/runs",
)


class PageGuard:
    """ASGI middleware.

    Args:
        hosts: names under which the page may be asked; None: any. A page elsewhere whose name was pointed at this
            machine (DNS rebinding) sends its own name, and one that posts here from a browser its own origin, which
            differs at least in the port.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (refusal := self.refusal(scope)) is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse(refusal, 403)(scope, receive, send)

    def refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        if self.hosts is not None:
            if host_of(headers.get("host", "")) not in self.hosts:
                return "This page is not asked under that Host."
            origin = headers.get("origin")
            if origin is not None and not self.is_own(origin, headers["host"]):
                return "This page is not asked from other pages."
        if any(scope["path"].removeprefix("/gradio_api").startswith(each) for each in FILES):
            return "This page reads and writes no files."
        return None

    def is_own(self, origin: str, host: str) -> bool:
        """Whether a page of this server posts: under one of its names, at the port that it is asked at."""
        try:
            page, server = urlsplit(origin), urlsplit(f"//{host.strip()}")
            return page.hostname in self.hosts and page.port == server.port
        except ValueError:  # a port that is no number
            return False

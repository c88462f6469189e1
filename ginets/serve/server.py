"""The process: listens, and ends without losing what it has taken on."""

import asyncio
import logging
import math
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from .service import Service


logger = logging.getLogger(__name__)

LAST_CALL_SECONDS = 0.5  # for who is connected and has not asked yet when the server stops listening


class Server(uvicorn.Server):
    """Ends in two steps. On SIGTERM or SIGINT it says that it is not ready and closes each connection with its next
    answer, but still answers; `drain_seconds` later it stops listening, waits a moment for who is connected already, and
    finishes what is in progress. A second SIGINT ends it at once.

    Without the waiting a request that is on its way over an idle connection would be lost when that is closed.
    """

    def __init__(self, config: uvicorn.Config, service: Service, drain_seconds: float):
        super().__init__(config)
        self.service, self.drain_seconds = service, drain_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Within a signal handler nothing can be written: the rest is for the loop."""
        self.loop.call_soon_threadsafe(self.drain, signal.Signals(sig))

    def drain(self, sig: signal.Signals) -> None:
        if self.service.draining:
            if sig == signal.SIGINT:
                self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        about = {"signal": sig.name, "in_progress": self.service.in_progress}
        logger.info("draining", extra={"fields": about})
        self.loop.call_later(self.drain_seconds, self.stop)

    def stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets=None) -> None:
        for listening in self.servers:
            listening.close()
        if not self.force_exit:
            await asyncio.sleep(LAST_CALL_SECONDS)
        await super().shutdown(sockets)

    async def serve(self, sockets=None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().serve(sockets)


def listen(host: str, port: int, backlog: int | None = None) -> socket.socket:
    """Raises `OSError`: the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=backlog)


def serve(app: FastAPI, host: str, port: int, drain_seconds: float = 1.0) -> None:
    """Answer until a signal ends the process.

    Raises:
        OSError: the address cannot be used.
    """
    # what is accepted ends within the limit for coming, being answered, its attention and being taken
    longest = math.ceil(4 * app.state.service.limits.seconds)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=longest
    )
    with listen(host, port, config.backlog) as listening:
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{listening.getsockname()[1]}"
        logger.info("listening", extra={"fields": {"url": url, "docs": f"{url}/docs"}})
        Server(config, app.state.service, drain_seconds).run(sockets=[listening])

"""The process of the page: models or a server behind it, a guard before it."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ..extras import require
from ..serve.limits import LOOPBACK


@contextmanager
def opened(
    models: Sequence[str],
    server: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str | None = None,
    enable_training: bool = False,
    open_browser: bool = False,
) -> Iterator[str]:
    """The URL of the page, for as long as the block lasts; `ginets.ui.launch` says what the arguments mean."""
    check(host, port, enable_training)
    # read when gradio is imported
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    for module in ("gradio", "fastapi", "prometheus_client", "matplotlib"):
        require(module, extra="ui")
    from starlette.middleware import Middleware

    from .app import build, theme
    from .guard import PageGuard
    from .local import LocalSource, open_source
    from .runs import Runs
    from .views import STYLE

    source, runs = open_source(models, server, device), Runs(enable_training)
    page = build(source, runs)
    guard = Middleware(PageGuard, hosts=LOOPBACK if host in LOOPBACK else None)
    try:
        _, url, _ = page.queue(default_concurrency_limit=8).launch(
            server_name=host, server_port=port or free_port(host), theme=theme(), css=STYLE, inbrowser=open_browser,
            app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None}, prevent_thread_lock=True,
            share=False, quiet=True, footer_links=[], run_history=False, show_error=False, ssr_mode=False, pwa=False,
            mcp_server=False, enable_monitoring=False, strict_cors=True, max_file_size=1, state_session_capacity=100,
        )  # fmt: skip
        yield url
    finally:
        runs.stop()
        page.close(verbose=False)
        if isinstance(source, LocalSource):
            source.close()


def check(host: str, port: int, enable_training: bool) -> None:
    if not 0 <= port < 65536:
        raise ValueError(f"port is {port}; it must be from 0 to 65535.")
    if enable_training and host not in LOOPBACK:
        raise ValueError(
            f"host is {host}, which others can reach, and the training tab would run their commands: "
            "leave out --enable-training, or --host."
        )


def free_port(host: str) -> int:
    import socket

    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        return listening.getsockname()[1]


def wait() -> None:
    """Until the process is told to end."""
    import signal

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()

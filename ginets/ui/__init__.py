"""The web page: `ginets ui`. Gradio, which comes with `ginets[ui]`, is imported when the page is launched."""

from collections.abc import Sequence


def launch(
    models: Sequence[str],
    *,
    server: str | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str | None = None,
    enable_training: bool = False,
    open_browser: bool = False,
) -> None:
    """Open the page and answer until the process is ended.

    Args:
        models: folders or names on the Hub of models or adapters, each perhaps as `NAME=MODEL`; they run in this process.
        server: URL of a running `ginets serve` whose models are used instead. Its key is read from GINETS_API_KEY.
        port: 0: any that is free.
        device: to run the models on, e.g. `cpu`; by default the accelerator if there is one.
        enable_training: let the training tab run commands; only where nobody but this machine can reach the page.
        open_browser: show the page in the user's browser.

    Raises:
        ImportError: gradio or what serves models is not installed.
        OSError: the address cannot be used, or the server cannot be reached.
        ValueError: an argument cannot be used, or a model cannot be loaded.
    """
    from .page import opened, wait

    options = {"server": server, "host": host, "port": port, "device": device, "enable_training": enable_training}
    with opened(models, **options, open_browser=open_browser) as url:
        print(f"ginets ui: {url}  (Ctrl-C ends it)", flush=True)
        wait()

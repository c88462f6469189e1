"""`ginets ui MODEL …`: the web page."""

from typing import Annotated

from typer import Argument, Option


EXAMPLES = """
ginets ui runs/mrpc
ginets ui runs/lora runs/ina                         # side by side on the compare tab
ginets ui --server http://127.0.0.1:8000             # models of a running `ginets serve`
"""


def main(
    models: Annotated[
        list[str] | None,
        Argument(metavar="MODEL", help="Models or adapters (folder or Hub name), or NAME=MODEL."),
    ] = None,
    host: Annotated[str, Option(help="To listen on.", show_default="127.0.0.1, this machine only")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="N", help="Of the page; 0: any that is free.")] = 7860,
    server: Annotated[
        str | None, Option(metavar="URL", help="Ask this running `ginets serve` instead of loading models.")
    ] = None,
    device: Annotated[
        str | None, Option(help="To run models on, e.g. cpu.", show_default="the accelerator if there is one")
    ] = None,
    enable_training: Annotated[
        bool, Option("--enable-training", help="Let the training tab run commands; on this machine only.")
    ] = False,
    open_browser: Annotated[bool, Option("--open-browser", help="Open the page in the browser.")] = False,
) -> None:
    """Try models on a web page.

    Classify, ask, chat, and compare models side by side. Give models, or --server.
    """
    if bool(models) == bool(server):
        raise ValueError("give either MODEL or --server.")
    from ..extras import require

    require("gradio", extra="ui")
    from ..ui import launch

    launch(
        models or [],
        host=host,
        port=port,
        server=server,
        device=device,
        enable_training=enable_training,
        open_browser=open_browser,
    )

"""`ginets convert SRC DST`: an InA adapter of the original code to ours."""

from typing import Annotated, Literal

from typer import Argument, Option


EXAMPLES = """
ginets convert their-adapter my-adapter
ginets convert their-adapter my-adapter --inhibition_level 0.3
"""


def main(
    src: Annotated[str, Argument(metavar="SRC", help="Its folder: adapter_config.json, adapter_model.safetensors.")],
    dst: Annotated[str, Argument(metavar="DST", help="New folder.")],
    inhibition_level: Annotated[
        float | None,
        Option("--inhibition-level", "--inhibition_level", help="In place of what the file says, or does not."),
    ] = None,
    activation: Annotated[
        Literal["leaky_relu", "gelu", "none"], Option(help="Between threshold and B.")
    ] = "leaky_relu",
) -> None:
    """Convert an InA adapter of the original code to ours."""
    from .. import convert_adapter

    config = convert_adapter(src, dst, inhibition_level, activation)
    print(f"{dst}: InA of rank {config.r}, inhibition_level {config.inhibition_level}")

"""`ginets models [PATTERN]`: the same as `ginets list models`."""

from typing import Annotated

from typer import Argument

from . import list as all_kinds
from .command import Json


EXAMPLES = """
ginets models "deberta*"
"""


def main(
    pattern: Annotated[str, Argument(metavar="PATTERN", help='Shell-style, e.g. "deberta*".')] = "*",
    json: Json = False,
) -> int:
    """List the zoo: name and folder of each model, as `ginets list models`."""
    return all_kinds.main("models", pattern, json)

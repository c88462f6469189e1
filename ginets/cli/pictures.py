"""The options of verbs that draw."""

from enum import StrEnum
from typing import Annotated, Literal

from typer import Option

from ..viz.figures import BACKGROUNDS, FORMATS


Format = StrEnum("Format", FORMATS)
PNG = [Format.png]
Formats = Annotated[list[Format], Option(metavar=f"{'|'.join(FORMATS)} ...", help="Of the pictures.")]
Background = Annotated[Literal[tuple(BACKGROUNDS)], Option(help="Of the pictures.")]

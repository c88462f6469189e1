"""What all pictures share: light and dark background, colours that colour-blind readers can tell apart, and saving."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..extras import require


if TYPE_CHECKING:
    from matplotlib.figure import Figure


# paper, ink, what lies behind the data, and the colours of series: Okabe and Ito's, those with contrast first
BACKGROUNDS = {
    "light": ("white", "#1a1a1a", "#ececec",
              ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")),
    "dark": ("#16181d", "#e8e8e8", "#2c3038",
             ("#56b4e9", "#e69f00", "#2fc79a", "#e79ac4", "#f0e442", "#ff8a3c", "#ffffff")),
}  # fmt: skip
FORMATS = ("png", "svg")
DPI, LONGEST_SIDE = 140, 20_000  # dots per inch, and at most so many along a side
MARKERS = "osD^vP*"  # of series, so that colour is not all that tells them apart


@contextmanager
def new_figure(size: tuple[float, float], background: str = "light") -> Iterator["Figure"]:
    """An empty figure; what is drawn into it within the `with` block gets the colours of `background`.

    It knows neither `pyplot` nor a display. Save it with `save` or `write`, inside of the block or after it.

    Args:
        size: width and height in inches.
        background: `light` or `dark`.
    """
    with style(background):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        figure.background = background
        yield figure


@contextmanager
def style(background: str) -> Iterator[None]:
    """matplotlib's defaults for `background`, for the time of the `with` block."""
    if background not in BACKGROUNDS:
        raise ValueError(f"background is {background!r}; it can be {', '.join(BACKGROUNDS)}.")
    matplotlib = require("matplotlib", extra="viz")
    from cycler import cycler

    paper, ink, _, colours = BACKGROUNDS[background]
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    papered = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    settings = dict.fromkeys(inked, ink) | dict.fromkeys(papered, paper)
    settings |= {"axes.prop_cycle": cycler(color=colours), "grid.color": ink, "svg.hashsalt": "ginets"}
    with matplotlib.rc_context(settings):
        yield


def colour(number: int, background: str = "light") -> str:
    """The colour of the series `number`, counted from 0."""
    colours = BACKGROUNDS[background][-1]
    return colours[number % len(colours)]


def marker(number: int) -> str:
    """The marker of the series `number`: 49 series have different pairs of colour and marker."""
    return MARKERS[(number + number // len(BACKGROUNDS["light"][-1])) % len(MARKERS)]


def muted(background: str = "light") -> str:
    """A colour for what lies behind the data, such as empty cells."""
    return BACKGROUNDS[background][2]


def save(figure: "Figure", path: str | os.PathLike, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write `figure` to `path`, which has no ending, once per format; returns the files.

    Raises:
        ValueError: a format is not one of `FORMATS`.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"format is {unknown[0]!r}; it can be {', '.join(FORMATS)}.")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = [path.with_name(f"{path.name}.{name}") for name in formats]
    for file in files:
        write(figure, file)
    return files


def write(figure: "Figure", path: str | os.PathLike) -> None:
    """Write `figure` to the file `path`, whose ending says the format; the same figure gives the same bytes."""
    metadata = {"Date": None} if Path(path).suffix == ".svg" else None
    with style(getattr(figure, "background", "light")):  # ticks are made when they are drawn
        figure.savefig(path, dpi=min(DPI, LONGEST_SIDE / max(figure.get_size_inches())), metadata=metadata)

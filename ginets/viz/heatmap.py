"""Attention as pictures: one per layer and variant, and a sheet of layers × variants, all on one colour scale.

The map is viridis: its lightness rises with the weight, so it can be read in grey and by colour-blind readers.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from math import ceil
from pathlib import Path
from textwrap import fill

import numpy as np

from ..extras import require
from .comparison import Comparison
from .figures import new_figure, save


COLOURS = "viridis"
SCALES = {"sqrt": 0.5, "linear": 1.0}  # exponent of the weight
LABELLED = 64  # with more tokens than that every n-th has a label
LONGEST_LABEL = 16  # characters
# inches
PITCH = 0.125  # of tokens: one line of a label
LEAST_PANEL = 2.0
LEAST_WIDTH = 4.4  # room for the legend
GAP = 0.15
# points
LABEL, TEXT, TITLE = 7, 9, 11
# the later ones, where installed, for what the first does not have
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans", "Arial Unicode MS", "Segoe UI Symbol")


def write_pictures(
    comparison: Comparison,
    folder: str | os.PathLike,
    formats: Sequence[str] = ("png",),
    background: str = "light",
    scale: str = "sqrt",
) -> list[Path]:
    """Write the sheet, and one picture per layer and variant, into `folder`.

    Args:
        formats: `png`, `svg`.
        background: `light` or `dark`.
        scale: how weights become colours, `sqrt` (small ones show) or `linear`.

    Returns:
        The files: `sheet.png`, then `layer-02-<variant>.png` and so on.

    Raises:
        ValueError: an unknown format, background or scale.
    """
    matplotlib = require("matplotlib", extra="viz")
    check_scale(scale)
    files = []
    for name, figure in figures(comparison, background, scale):
        with matplotlib.rc_context({"svg.fonttype": "none"}):  # text stays text
            files += save(figure, Path(folder, name), formats)
    return files


def check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; it can be {', '.join(SCALES)}.")


def figures(comparison: Comparison, background: str, scale: str) -> Iterator[tuple[str, object]]:
    """File name without ending, and figure."""
    yield "sheet", draw_sheet(comparison, background, scale)
    for variant, name in file_names(comparison.variants).items():
        for layer in comparison.layers:
            yield f"layer-{layer:02}-{name}", draw_layer(comparison, variant, layer, background, scale)


def file_names(variants: Iterable[str]) -> dict[str, str]:
    """Each variant under a name that any file system takes, no two under the same."""
    names = {}
    for variant in variants:
        plain = "".join(c if c.isalnum() or c in "-." else "_" for c in variant).strip("._") or "variant"
        taken, name, number = {each.lower() for each in names.values()}, plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        names[variant] = name
    return names


def draw_layer(comparison: Comparison, variant: str, layer: int, background: str = "light", scale: str = "sqrt"):
    """The attention of one layer of one variant, as a `matplotlib` figure."""
    title = f"{variant}: attention in {comparison.layer_text(layer)}, {comparison.heads_text}"
    number = list(comparison.variants).index(variant)
    values = comparison.values[number, [comparison.layers.index(layer)]]
    return draw(comparison, [[values[0]]], [[""]], title, background, scale)


def draw_sheet(comparison: Comparison, background: str = "light", scale: str = "sqrt"):
    """Layers × variants, as a `matplotlib` figure; tokens are named at the left and at the bottom."""
    title = f"Attention by layer (down) and variant (across), {comparison.heads_text}"
    layers = [comparison.layer_text(layer) for layer in comparison.layers]
    captions = [[f"{variant}\n{text}" for variant in comparison.variants] for text in layers]
    return draw(comparison, np.swapaxes(comparison.values, 0, 1), captions, title, background, scale)


def draw(comparison: Comparison, panels, captions, title: str, background: str, scale: str):
    """A figure of rows of panels `(tokens, tokens)`, each under its caption, with a title and a legend above all.

    Everything is placed in inches, so that labels have their room however many panels and tokens there are.
    """
    matplotlib = require("matplotlib", extra="viz")
    from matplotlib.colors import PowerNorm

    norm = PowerNorm(SCALES[scale], vmin=0, vmax=comparison.scale)
    with new_figure((1, 1), background) as figure, matplotlib.rc_context({"font.family": fonts()}):
        figure.set_layout_engine("none")
        labels = [shortened(token) for token in comparison.tokens]
        side = max(LEAST_PANEL, PITCH * min(len(labels), LABELLED))
        captions = [[wrapped(text, side, TEXT) for text in row] for row in captions]
        # room: for labels at the left and below, for a caption above each panel, for title and legend on top
        label = max(extent(figure, text, LABEL)[0] for text in labels) + 3 * GAP
        caption = max(extent(figure, text, TEXT)[1] for row in captions for text in row) + GAP
        width = max(LEAST_WIDTH, label + len(panels[0]) * (side + GAP) + GAP)
        title, notes = wrapped(title, width, TITLE), wrapped(legend_of(comparison, scale), width, TEXT)
        head = extent(figure, title, TITLE)[1] + extent(figure, notes, TEXT)[1] + 5 * GAP
        height = head + len(panels) * (caption + side) + label
        figure.set_size_inches(width, height)

        def place(left: float, top: float, wide: float, high: float):
            """Axes, measured in inches from the upper left corner of the figure."""
            return figure.add_axes((left / width, 1 - (top + high) / height, wide / width, high / height))

        for row, (values, texts) in enumerate(zip(panels, captions, strict=True)):
            for column, (matrix, text) in enumerate(zip(values, texts, strict=True)):
                axes = place(label + column * (side + GAP), head + caption + row * (caption + side), side, side)
                image = axes.imshow(matrix, COLOURS, norm, interpolation="nearest")
                axes.set_title(text, size=TEXT, pad=4, parse_math=False)
                name_tokens(axes.yaxis, labels if column == 0 else None, "from (query)")
                name_tokens(axes.xaxis, labels if row == len(panels) - 1 else None, "to (key)", rotation=90)
        figure.text(GAP / width, 1 - GAP / height, title, size=TITLE, va="top", weight="bold", parse_math=False)
        top = extent(figure, title, TITLE)[1] + 2 * GAP
        bar = figure.colorbar(
            image, cax=place(1.5 * GAP, top, LEAST_WIDTH - 3 * GAP, 0.7 * GAP), orientation="horizontal"
        )
        marks = norm.inverse(np.linspace(0, 1, 5))
        bar.set_ticks(marks, labels=[f"{mark:.2g}" for mark in marks], size=LABEL)
        figure.text(GAP / width, 1 - (top + 2.4 * GAP) / height, notes, size=TEXT, va="top", parse_math=False)
    return figure


def legend_of(comparison: Comparison, scale: str) -> str:
    """What the colours mean."""
    root = ", by its square root" if scale == "sqrt" else ""
    left_out = " Special tokens are left out, weights are not rescaled." if comparison.mask_special else ""
    return f"Colour: attention weight{root}, one scale for all layers and variants.{left_out}"


def name_tokens(axis, labels: list[str] | None, name: str, **options) -> None:
    """Labels along an axis, on every n-th token if there are many; None for an axis whose labels are elsewhere."""
    if labels is None:
        axis.set_ticks([])
        return
    step = ceil(len(labels) / LABELLED)
    axis.set_ticks(range(0, len(labels), step), labels[::step], size=LABEL, parse_math=False, **options)
    axis.set_tick_params(length=2, pad=2)
    axis.set_label_text(name, size=TEXT)


def shortened(token: str) -> str:
    return token if len(token) <= LONGEST_LABEL else token[: LONGEST_LABEL - 1] + "…"


def wrapped(text: str, width: float, size: float) -> str:
    """`text` in lines of at most `width` inches, by the average width of a letter."""
    return "\n".join(fill(line, max(10, int(width * 72 / size / 0.62))) for line in text.split("\n"))


def extent(figure, text: str, size: float) -> tuple[float, float]:
    """Width and height of a text in inches."""
    artist = figure.text(0, 0, text, size=size, parse_math=False, weight="bold" if size == TITLE else "normal")
    box = artist.get_window_extent()
    artist.remove()
    return box.width / figure.dpi, box.height / figure.dpi


@cache
def fonts() -> list[str]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return [font for font in FONTS if font in installed]

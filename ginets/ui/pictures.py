"""Figures within the page: one for light, one for dark, as data, so that no file is written or served."""

import base64
import io
import threading
from collections.abc import Callable
from html import escape

import numpy as np

from ..extras import require
from ..viz.comparison import Comparison
from ..viz.figures import BACKGROUNDS, new_figure, style
from ..viz.heatmap import LABELLED, LEAST_PANEL, PITCH, TEXT, fonts, name_tokens, shortened, wrapped


DRAWING = threading.Lock()  # matplotlib's settings belong to the whole process
DPI = 110
DIVERGING = {"light": "RdBu_r", "dark": "berlin"}  # blue: less, red: more; what is equal looks like the paper


def picture(draw: Callable[[str], object], text: str) -> str:
    """HTML of the figure that `draw(background)` makes; `text` says what is seen."""
    images = []
    with DRAWING:
        for background in BACKGROUNDS:
            buffer = io.BytesIO()
            figure = draw(background)
            with style(background):
                figure.savefig(buffer, format="png", dpi=DPI)
            data = base64.b64encode(buffer.getvalue()).decode()
            images.append(f'<img class="on-{background}" alt="{escape(text)}" src="data:image/png;base64,{data}">')
    return "".join(images)


def difference(comparison: Comparison, layer: int) -> np.ndarray:
    """`(tokens, tokens)`: the second variant less the first."""
    first, second = comparison.values[:, comparison.layers.index(layer)]
    return second - first


def largest(comparison: Comparison, layer: int) -> str:
    """The largest difference in words."""
    values, tokens = difference(comparison, layer), comparison.tokens
    row, column = np.unravel_index(np.abs(values).argmax(), values.shape)
    if not values[row, column]:
        return "Both are the same in this layer."
    return f"Largest difference: {values[row, column]:+.3f}, from “{tokens[row]}” to “{tokens[column]}”."


def draw_difference(comparison: Comparison, layer: int, background: str = "light"):
    """Where the second variant attends more (red) or less (blue) than the first, as a `matplotlib` figure."""
    matplotlib = require("matplotlib", extra="ui")
    values = difference(comparison, layer)
    most = float(np.abs(values).max()) or 1.0
    labels = [shortened(token) for token in comparison.tokens]
    side = max(LEAST_PANEL, PITCH * min(len(labels), LABELLED))
    first, second = comparison.variants
    title = f"{second} − {first}: {comparison.layer_text(layer)}, {comparison.heads_text}"
    with new_figure((side + 2.4, side + 1.8), background) as figure, matplotlib.rc_context({"font.family": fonts()}):
        axes = figure.add_subplot()
        image = axes.imshow(values, DIVERGING[background], vmin=-most, vmax=most, interpolation="nearest")
        name_tokens(axes.yaxis, labels, "from (query)")
        name_tokens(axes.xaxis, labels, "to (key)", rotation=90)
        axes.set_title(wrapped(title, side + 1.6, TEXT + 1), size=TEXT + 1, weight="bold", parse_math=False)
        figure.colorbar(image, shrink=0.8).set_label("difference of weights", size=TEXT)
    return figure

"""The same numbers as one self-contained page, to flip through layers, heads and variants in a browser.

Weights are kept as one byte each, the square root of the weight in steps of 1/255: small weights, of which there are
most, keep their first digits, and no weight is off by more than 0.004.
"""

import base64
import json
import os
import zlib
from pathlib import Path

import numpy as np

from ..extras import require
from .comparison import Comparison
from .heatmap import COLOURS, SCALES, check_scale


TEMPLATE = Path(__file__).with_suffix(".html")
MOST_WEIGHTS = 48_000_000  # on one page, before compression; beyond that the mean of the heads only


def write_page(comparison: Comparison, path: str | os.PathLike, scale: str = "sqrt") -> None:
    """Write the page of the chosen layers to `path`, opened at the chosen head. It needs no network and no other file.

    Args:
        scale: how weights become colours, `sqrt` or `linear`.
    """
    check_scale(scale)
    first, layers = comparison.first, np.array(comparison.layers)
    weights = np.stack([attention.weights[layers - 1] for attention in comparison.variants.values()])
    heads = list(range(1, weights.shape[2] + 1))
    if weights.size > MOST_WEIGHTS:
        weights, heads = weights.mean(axis=2, keepdims=True), []
    content = {
        "variants": list(comparison.variants),
        "layers": list(comparison.layers),
        "heads": heads,
        "layerCount": first.weights.shape[0],
        "headCount": first.weights.shape[1],
        "tokens": list(first.tokens),
        "special": first.special.tolist(),
        "head": comparison.head if heads and comparison.head else 0,
        "hide": comparison.mask_special,
        "exponent": SCALES[scale],
        "colours": colours(),
        "codes": base64.b64encode(zlib.compress(quantised(weights).tobytes(), 9)).decode(),
    }
    page = TEMPLATE.read_text(encoding="utf-8").replace("{{content}}", in_script(content))
    Path(path).write_text(page, encoding="utf-8")


def quantised(weights: np.ndarray) -> np.ndarray:
    """Weights in [0, 1] as bytes."""
    return np.rint(np.sqrt(np.clip(weights, 0, 1)) * 255).astype(np.uint8)


def in_script(content: object) -> str:
    """JSON that can stand in a `<script>`: nothing in it can end the element or begin a comment."""
    return (
        json.dumps(content, ensure_ascii=True).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    )


def colours() -> list[str]:
    """The colour map as 256 CSS colours, from 0 to the upper end of the scale."""
    colour_map = require("matplotlib", extra="viz").colormaps[COLOURS]
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue, _ in colour_map(range(256), bytes=True)]

"""Parameters against score: what a variant trains beside the head, and how well it does."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..extras import require
from .figures import MARKERS, colour, new_figure


PARAMETERS = "trainable_parameters_without_head"


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean, and half the width of its t interval; infinite for a single value."""
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return mean, math.inf
    quantile = require("scipy.stats", extra="train").t.ppf((1 + level) / 2, count - 1)
    return mean, float(quantile * np.std(values, ddof=1) / math.sqrt(count))


def draw_scatter(points: Mapping[str, Sequence[tuple[float, float]]], metric: str, background: str = "light"):
    """Draw the mean score of each variant over its number of parameters, which has a logarithmic axis.

    Args:
        points: variant → (trainable parameters without head, score) of each seed. Seeds are small points; from two
            on, the mean has its 95 % t interval.
        metric: name of the score.

    Returns:
        The `matplotlib` figure.

    Raises:
        ValueError: a number of parameters is not positive.
    """
    for name, seeds in points.items():
        if wrong := [count for count, _ in seeds if count <= 0]:
            raise ValueError(f"{name}: {PARAMETERS} is {wrong[0]}; on a logarithmic axis it must be above 0.")
    with new_figure((7, 4.2), background) as figure:
        axes = figure.subplots()
        for number, (name, seeds) in enumerate(points.items()):
            counts, scores = zip(*seeds, strict=True)
            mean, half = mean_interval(scores)
            look = {"color": colour(number, background), "zorder": 3}
            at = float(np.mean(counts))
            axes.plot(counts, scores, ".", alpha=0.5, markersize=5, **look)
            bars = {"yerr": half, "capsize": 3} if math.isfinite(half) else {}
            axes.errorbar(at, mean, fmt=MARKERS[number % len(MARKERS)], label=f"{name} ({len(seeds)})", **bars, **look)
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set(xlabel="trainable parameters without the head", ylabel=metric)
        axes.grid(alpha=0.2)
        figure.legend(loc="outside right upper", fontsize=9, title="variant (seeds)", title_fontsize=9)
        figure.suptitle("Parameters and score: means with 95 % t intervals, seeds as dots", size=10)
    return figure

"""Parameters against score: what a variant trains beside the head, and how well it does."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..metrics.intervals import mean_interval
from .figures import colour, marker, new_figure


PARAMETERS = "trainable_parameters_without_head"
ALIKE = 1.2  # counts that differ by less than this factor are drawn side by side,
STEP, WIDEST = 12, 84  # so many points apart, but never over a wider range


def draw_scatter(points: Mapping[str, Sequence[tuple[float, float]]], metric: str, background: str = "light"):
    """Draw the mean score of each variant over its number of parameters, which has a logarithmic axis.

    Variants of about the same number, such as LoRA and InA of one rank, are moved apart on the picture.

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
    moved = offsets({name: float(np.mean([count for count, _ in seeds])) for name, seeds in points.items()})
    with new_figure((7 + len(points) / 12, max(4.2, 0.8 + 0.21 * len(points))), background) as figure:
        from matplotlib.transforms import offset_copy

        axes = figure.subplots()
        axes.set_xscale("log")
        for number, (name, seeds) in enumerate(points.items()):
            counts, scores = zip(*seeds, strict=True)
            found = mean_interval(scores)
            place = offset_copy(axes.transData, figure, x=moved[name], units="points")
            look = {"color": colour(number, background), "zorder": 3, "transform": place}
            at = float(np.mean(counts))
            bars = {"yerr": found.half, "capsize": 3} if math.isfinite(found.half) else {}
            ends = [(at, found.low), (at, found.high)] if bars else []
            axes.update_datalim([*seeds, *ends])  # a moved artist does not do it
            axes.plot(counts, scores, ".", alpha=0.5, markersize=5, **look)
            axes.errorbar(at, found.value, fmt=marker(number), label=f"{name} ({len(seeds)})", **bars, **look)
        axes.margins(x=0.12)
        axes.autoscale_view()
        axes.set(xlabel="trainable parameters without the head (side by side: about as many)", ylabel=metric)
        axes.grid(alpha=0.2)
        figure.legend(loc="outside right upper", fontsize=9, title="variant (seeds)", title_fontsize=9)
        axes.set_title("Parameters and score: means with 95 % t intervals, seeds as dots", size=10)
    return figure


def offsets(counts: Mapping[str, float]) -> dict[str, float]:
    """How far each variant is moved along the axis, in points: those with about the same count stand side by side."""
    groups: list[list[str]] = []
    for name in sorted(counts, key=counts.get):
        if groups and counts[name] < ALIKE * counts[groups[-1][-1]]:
            groups[-1].append(name)
        else:
            groups.append([name])
    return {
        name: min(STEP, WIDEST / len(group)) * (place - (len(group) - 1) / 2)
        for group in groups
        for place, name in enumerate(group)
    }

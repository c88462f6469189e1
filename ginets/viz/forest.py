"""Forest plots: many things on the vertical axis, a mean with its interval for each, a panel for each task."""

import math
from collections.abc import Mapping, Sequence

from ..metrics.intervals import Mean
from .figures import colour, muted, new_figure


def draw_forest(
    panels: Mapping[str, Mapping[str, Mean]],
    label: str,
    title: str,
    reference: float | None = None,
    shown: Mapping[str, Sequence[str]] | None = None,
    background: str = "light",
):
    """Draw a panel for each task, side by side, with the same names on the left in the order of the first.

    Args:
        panels: task → name → mean.
        label: of the horizontal axes.
        reference: where a vertical line stands, such as 0 for differences.
        shown: task → names that are drawn filled, in another colour; the others are rings.

    Returns:
        The `matplotlib` figure.
    """
    names = list(dict.fromkeys(name for rows in panels.values() for name in rows))
    height = 1.1 + 0.24 * len(names)
    with new_figure((2.2 + 2.4 * len(panels), height), background) as figure:
        all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (task, rows) in zip(all_axes, panels.items(), strict=True):
            if reference is not None:
                axes.axvline(reference, color=colour(6, background), linewidth=0.8)
            for place, name in enumerate(names):
                if place % 2 == 0:
                    axes.axhspan(place - 0.5, place + 0.5, color=muted(background), alpha=0.5, linewidth=0)
                if name not in rows:
                    continue
                mean, strong = rows[name], name in (shown or {}).get(task, ())
                ink = colour(1 if strong else 0, background)
                bars = {"xerr": mean.half, "capsize": 2} if math.isfinite(mean.half) else {}
                face = ink if strong or shown is None else "none"
                axes.errorbar(mean.value, place, fmt="o", color=ink, mfc=face, markersize=4, linewidth=1.1, **bars)
            axes.set_title(task, size=9)
            axes.set_xlabel(label, size=8)
            axes.tick_params(labelsize=8)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.5, -0.5)
        figure.suptitle(title, size=10, wrap=True)
    return figure

"""The picture of the relevance statistic: figures per layer and variant, and their differences to the first variant."""

from collections.abc import Iterator, Sequence

import numpy as np

from .figures import colour, marker, new_figure
from .relevance import MEAN


PANELS = {
    "relevant": "attention mass on relevant words",
    "irrelevant": "attention mass on irrelevant words",
    "density_ratio": "weight per relevant / per irrelevant word",
}
LOOKING = {"all": "all words of question and context", "question": "the words of the question"}


def draw_relevance(rows: Sequence[dict], queries: str, title: str = "", background: str = "light"):
    """Draw the rows of `summarise`: above the figures, below the differences to the first variant, if there are more.

    Args:
        queries: which tokens look, one of `QUERIES`.
        title: a line about model and data.

    Returns:
        The `matplotlib` figure.

    Raises:
        ValueError: there is nothing to draw, as for the question of a causal model, which cannot see the context.
    """
    shown = [row for row in rows if row["queries"] == queries and row["layer"] != MEAN and row["value"] is not None]
    if not any(row["value"] for row in shown if row["figure"] in ("relevant", "irrelevant")):
        raise ValueError(f"{LOOKING[queries]} give no attention to the context.")
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    layers = max(row["layer"] for row in shown)
    parts = [("value", "low", "high")]
    if any(row["difference"] is not None for row in shown):
        parts.append(("difference", "difference_low", "difference_high"))
    size = (4 + max(8, 0.16 * layers * len(variants)), 1.3 + 2.9 * len(parts))
    with new_figure(size, background) as figure:
        grid = figure.subplots(len(parts), len(PANELS), squeeze=False)
        for axes_row, keys in zip(grid, parts, strict=True):
            for axes, (name, text) in zip(axes_row, PANELS.items(), strict=True):
                _panel(axes, [row for row in shown if row["figure"] == name], keys, variants, layers, background)
                if keys[0] == "value":
                    axes.set_title(text, size=10)
                else:
                    axes.axhline(0, color="gray", linewidth=0.8)
            axes_row[0].set_ylabel("value" if keys[0] == "value" else f"difference to {variants[0]}")
        for axes in grid[-1]:
            axes.set_xlabel("layer")
        handles, labels = grid[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(variants), 6), fontsize=9)
        figure.suptitle(f"Attention paid by {LOOKING[queries]}{title and f'; {title}'}", size=11)
    return figure


def _panel(axes, rows: Sequence[dict], keys: tuple[str, str, str], variants, layers: int, background: str) -> None:
    """Points with error bars; variants stand side by side."""
    size = 4 if layers * len(variants) < 60 else 2.5
    for number, variant in enumerate(variants):
        points = list(_points(rows, keys, variant))
        if points:
            at, value, low, high = zip(*points, strict=True)
            shift = 0.7 * ((number + 0.5) / len(variants) - 0.5)
            bars = (
                [v - e for v, e in zip(value, low, strict=True)],
                [e - v for v, e in zip(value, high, strict=True)],
            )
            look = {"fmt": marker(number), "markersize": size, "color": colour(number, background)}
            places = [each + shift for each in at]
            axes.errorbar(places, value, np.clip(bars, 0, None), linewidth=1.2, label=variant, **look)
    axes.set_xticks(range(1, layers + 1, 1 + layers // 13))
    axes.set_xlim(0.4, layers + 0.6)
    axes.grid(axis="y", alpha=0.2)


def _points(rows: Sequence[dict], keys: tuple[str, str, str], variant: str) -> Iterator[tuple]:
    for row in rows:
        if row["variant"] == variant and row[keys[0]] is not None:
            yield row["layer"], *(row[key] for key in keys)

"""Learning curves: loss and the task's metric over the epochs of a run."""

import os
from collections.abc import Mapping, Sequence

from ..extras import require


def curve(history: Sequence[Mapping], key: str) -> tuple[list[float], list[float]]:
    """Epochs and values of `key` in a `Trainer`'s `log_history` (one mapping per log entry)."""
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry and "epoch" in entry]
    return [epoch for epoch, _ in points], [value for _, value in points]


def plot_learning_curve(histories: Mapping[str, Sequence[Mapping]], metric: str, path: str | os.PathLike) -> None:
    """Write the picture of `draw_learning_curve` to `path`; the ending says the format."""
    draw_learning_curve(histories, metric).savefig(path, dpi=120)


def draw_learning_curve(histories: Mapping[str, Sequence[Mapping]], metric: str):
    """Draw the loss (left) and `eval_<metric>` (right) of one or more runs.

    Args:
        histories: name of the run → its `trainer.state.log_history`.
        metric: without its `eval_` prefix.

    Returns:
        The `matplotlib` figure.
    """
    require("matplotlib", extra="train")
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no pyplot: no global state, no display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    losses, scores = figure.subplots(1, 2)
    for number, (name, history) in enumerate(histories.items()):
        label = f"{name}, " if len(histories) > 1 else ""
        for axes, key, text, style in (
            (losses, "loss", "training", "--"),
            (losses, "eval_loss", "evaluation", "-"),
            (scores, f"eval_{metric}", "evaluation", "-"),
        ):
            epochs, values = curve(history, key)
            if epochs:
                axes.plot(epochs, values, style, color=f"C{number}", marker="o", markersize=3, label=label + text)
    for axes, title in ((losses, "loss"), (scores, metric)):
        axes.set(xlabel="epoch", ylabel=title)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    return figure

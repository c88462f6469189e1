"""Learning curves: loss and the task's metric over the epochs of a run."""

import os
from collections.abc import Mapping, Sequence

from .figures import colour, marker, new_figure, write


History = Sequence[Mapping]  # a `Trainer`'s `log_history`: one mapping per log entry


def curve(history: History, key: str) -> tuple[list[float], list[float]]:
    """Epochs and values of `key` in a `Trainer`'s `log_history` (one mapping per log entry)."""
    points = [(entry["epoch"], entry[key]) for entry in history if key in entry and "epoch" in entry]
    return [epoch for epoch, _ in points], [value for _, value in points]


def plot_learning_curve(histories: Mapping[str, History], metric: str, path: str | os.PathLike) -> None:
    """Write the picture of `draw_learning_curve` to `path`; the ending says the format."""
    write(draw_learning_curve(histories, metric), path)


def draw_learning_curve(
    histories: Mapping[str, History | Sequence[History]], metric: str | None, background: str = "light"
):
    """Draw the loss (left) and `eval_<metric>` (right) of one or more runs.

    Args:
        histories: name of the run → its `trainer.state.log_history`, or several of them: those of one variant's seeds,
            which share a colour and a name.
        metric: without its `eval_` prefix; None where there is none to draw.
        background: `light` or `dark`.

    Returns:
        The `matplotlib` figure.
    """
    with new_figure((9, 3.5) if len(histories) <= 4 else (11, 4.5), background) as figure:
        losses, scores = figure.subplots(1, 2)
        lines = [(losses, "loss", "training", "--"), (losses, "eval_loss", "evaluation", "-")]
        if metric:
            lines.append((scores, f"eval_{metric}", "evaluation", "-"))
        for number, (name, runs) in enumerate(histories.items()):
            label = f"{name}, " if len(histories) > 1 else ""
            look = {"color": colour(number, background), "marker": marker(number), "markersize": 3}
            for axes, key, text, line in lines:
                drawn = [points for history in _several(runs) if (points := curve(history, key))[0]]
                for seed, points in enumerate(drawn):
                    axes.plot(*points, line, **look, linewidth=1.2, label="_" * bool(seed) + label + text)
        for axes, title in ((losses, "loss"), (scores, metric or "")):
            axes.set(xlabel="epoch", ylabel=title)
            axes.grid(alpha=0.2)
            if axes.lines:
                axes.legend(fontsize=8 if len(histories) > 1 else 10)
            else:
                axes.set_axis_off()
    return figure


def _several(runs: History | Sequence[History]) -> Sequence[History]:
    """A single history as a list of one."""
    return [runs] if not runs or isinstance(runs[0], Mapping) else runs

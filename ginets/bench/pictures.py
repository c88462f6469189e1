"""The figures of a report: scores by task, differences to each baseline, parameters against score."""

from pathlib import Path

from ..viz.figures import write
from ..viz.forest import draw_forest
from ..viz.scatter import draw_scatter
from .results import Results


def write_pictures(results: Results, folder: Path) -> list[Path]:
    """Write `scores.png`, `minus_<baseline>.png` and `parameters.png`; returns the files."""
    columns = results.columns
    figures = {
        "scores": draw_forest(
            {column.task: column.means for column in columns}, "score, %", "Mean over seeds, 95 % t interval"
        )
    }
    for baseline in results.leaderboard.baselines:
        found = {column.task: column.differences(baseline) for column in columns}
        figures[f"minus_{baseline}"] = draw_forest(
            {task: {name: each.mean for name, each in rows.items()} for task, rows in found.items()},
            f"score − {baseline}'s, points",
            f"Difference to {baseline}, paired by seed, 95 % t interval; filled: p < 0.05 after Holm's correction",
            reference=0,
            shown={task: [name for name, each in rows.items() if each.shown] for task, rows in found.items()},
        )
    last = columns[-1]
    points = {
        method: [(results.cost(method, "parameters"), score) for score in scores]
        for method, scores in last.scores.items()
    }
    figures["parameters"] = draw_scatter(points, f"{last.task}: {last.metric}, %")
    files = [folder / f"{name}.png" for name in figures]
    for file, figure in zip(files, figures.values(), strict=True):
        write(figure, file)
    return files

"""`ginets plot RUN [RUN …]`: learning curves, freeze maps, parameters against score, from the files of runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .pictures import PNG, Background, Formats
from .variants import read_variants


EXAMPLES = """
ginets plot lora=runs/lora-1 lora=runs/lora-2 ina=runs/ina-1 ina=runs/ina-2 runs/aflora
ginets plot runs/mrpc --metric f1 --format png svg --background dark
"""


def main(
    folders: Annotated[
        list[str], Argument(metavar="RUN", help="Folder or LABEL=FOLDER; a label again: another seed.")
    ],
    metric: Annotated[
        str | None, Option(help="Without eval_, e.g. f1.", show_default="the first one that most runs have")
    ] = None,
    output_dir: Annotated[Path, Option(metavar="FOLDER", help="Folder for the pictures.")] = Path("plots"),
    format: Formats = PNG,
    background: Background = "light",
) -> None:
    """Draw learning curves and more, from the files of runs.

    learning_curves, parameters_and_score and, of AFLoRA runs, freeze_map_<label>. A run that lacks what a picture needs
    is named and left out of it.
    """
    from ..viz.figures import save

    variants = {label: list(map(Path, paths)) for label, paths in read_variants(folders).items()}
    if absent := [path for paths in variants.values() for path in paths if not path.is_dir()]:
        raise ValueError(f"{absent[0]}: there is no such folder.")
    metric = choose_metric(variants, metric)
    written = []
    for name, figure in draw_all(variants, metric, background):
        written += save(figure, output_dir / name, format)
    if not written:
        raise ValueError("there is nothing to draw: see above what the runs lack.")
    print("\n".join(map(str, written)))


def choose_metric(variants: dict[str, list[Path]], wanted: str | None) -> str | None:
    """The metric that was asked for, or the first one that most runs have; None if there is none."""
    from ..viz import runs

    found = [runs.metrics_of(path) for paths in variants.values() for path in paths]
    counts = {name: sum(name in names for names in found) for names in found for name in names}
    if wanted is None:
        return max(counts, key=counts.get, default=None)
    if (name := wanted.removeprefix("eval_")) not in counts:
        raise ValueError(f"--metric is {wanted!r}; these runs have {', '.join(counts) or 'none'}.")
    return name


def draw_all(variants: dict[str, list[Path]], metric: str | None, background: str):
    """Name and figure of each picture that can be drawn."""
    from ..viz import curves, freeze_map, runs, scatter
    from ..viz.heatmap import file_names

    if histories := collect("learning curves", variants, runs.read_history):
        yield "learning_curves", curves.draw_learning_curve(histories, metric, background)
    if metric and (
        points := collect("parameters and score", variants, lambda folder: runs.read_point(folder, metric))
    ):
        yield "parameters_and_score", scatter.draw_scatter(points, metric, background)
    names = file_names(variants)
    for label, logs in collect("freeze map", variants, runs.read_frozen).items():
        for number, frozen in enumerate(logs, start=1):
            name = f"{label} ({number})" if len(logs) > 1 else label
            title = f"{name}: steps at which A and B were frozen"
            suffix = f"_{number}" if len(logs) > 1 else ""
            yield f"freeze_map_{names[label]}{suffix}", freeze_map.draw_freeze_map(frozen, title, background)


def collect(picture: str, variants: dict[str, list[Path]], read: Callable) -> dict[str, list]:
    """What `read` finds in the runs, by label; prints which runs are left out, and why."""
    from ..viz.runs import Missing

    found, missing = {}, {}
    for label, paths in variants.items():
        for path in paths:
            try:
                content = read(path)
            except Missing as reason:
                missing.setdefault(str(reason), []).append(label if len(paths) == 1 else str(path))
            else:
                found.setdefault(label, []).append(content)
    for reason, labels in missing.items():
        print(f"{picture}: without {', '.join(labels)} ({reason})")
    return found

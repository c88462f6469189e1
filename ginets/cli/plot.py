"""`ginets plot RUN [RUN …]`: learning curves, freeze maps, parameters against score, from the files of runs."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ..viz import curves, freeze_map, runs, scatter
from ..viz.figures import BACKGROUNDS, FORMATS, save
from .errors import in_one_line
from .variants import read_variants


DESCRIPTION = """Draw the pictures of finished or running trainings: learning_curves, parameters_and_score and, of AFLoRA
runs, freeze_map_<label>. A run that lacks what a picture needs is named and left out of it."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ginets plot", description=DESCRIPTION, allow_abbrev=False)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder or LABEL=FOLDER; a label again: another seed")
    parser.add_argument("--metric", help="without eval_, e.g. f1 [default: the first one that most runs have]")
    parser.add_argument("--output-dir", type=Path, default=Path("plots"), help="[default: plots]")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="[default: png]")
    parser.add_argument("--background", choices=BACKGROUNDS, default="light", help="[default: light]")
    given = parser.parse_args(arguments)
    with in_one_line(parser):
        variants = {label: list(map(Path, paths)) for label, paths in read_variants(given.runs).items()}
        if absent := [path for paths in variants.values() for path in paths if not path.is_dir()]:
            raise ValueError(f"{absent[0]}: there is no such folder.")
        metric = choose_metric(variants, given.metric)
        written = []
        for name, figure in draw_all(variants, metric, given.background):
            written += save(figure, given.output_dir / name, given.format)
        if not written:
            raise ValueError("there is nothing to draw: see above what the runs lack.")
    print("\n".join(map(str, written)))
    return 0


def choose_metric(variants: dict[str, list[Path]], wanted: str | None) -> str | None:
    """The metric that was asked for, or the first one that most runs have; None if there is none."""
    found = [runs.metrics_of(path) for paths in variants.values() for path in paths]
    counts = {name: sum(name in names for names in found) for names in found for name in names}
    if wanted is None:
        return max(counts, key=counts.get, default=None)
    if (name := wanted.removeprefix("eval_")) not in counts:
        raise ValueError(f"--metric is {wanted!r}; these runs have {', '.join(counts) or 'none'}.")
    return name


def draw_all(variants: dict[str, list[Path]], metric: str | None, background: str):
    """Name and figure of each picture that can be drawn."""
    if histories := collect("learning curves", variants, runs.read_history):
        yield "learning_curves", curves.draw_learning_curve(histories, metric, background)
    if metric and (
        points := collect("parameters and score", variants, lambda folder: runs.read_point(folder, metric))
    ):
        yield "parameters_and_score", scatter.draw_scatter(points, metric, background)
    for label, logs in collect("freeze map", variants, runs.read_frozen).items():
        for number, frozen in enumerate(logs, start=1):
            name = f"{label} ({number})" if len(logs) > 1 else label
            title = f"{name}: steps at which A and B were frozen"
            suffix = f"_{number}" if len(logs) > 1 else ""
            yield f"freeze_map_{label}{suffix}", freeze_map.draw_freeze_map(frozen, title, background)


def collect(picture: str, variants: dict[str, list[Path]], read: Callable) -> dict[str, list]:
    """What `read` finds in the runs, by label; prints which runs are left out, and why."""
    found, missing = {}, {}
    for label, paths in variants.items():
        for path in paths:
            try:
                content = read(path)
            except runs.Missing as reason:
                missing.setdefault(str(reason), []).append(label if len(paths) == 1 else str(path))
            else:
                found.setdefault(label, []).append(content)
    for reason, labels in missing.items():
        print(f"{picture}: without {', '.join(labels)} ({reason})")
    return found

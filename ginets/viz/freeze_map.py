"""When AFLoRA froze what: the paper's map of layers × kinds of matrix, coloured by the step of freezing."""

import csv
import os
import re
from collections.abc import Mapping

from .figures import muted, new_figure, write


# layer number and what comes after it: `bert.encoder.layer.3.attention.self.query` → 3, `attention.self.query`
IN_LAYER = re.compile(r"(?:^|\.)(\d+)\.(.+)$")
OUTSIDE = "outside the layers"


def read_freeze_log(path: str | os.PathLike) -> dict[tuple[str, str], int]:
    """The log that `AFLoraCallback` writes: (module, `A` or `B`) → number of steps it was trained for.

    Raises:
        ValueError: the file is no such log.
    """
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := {"step", "module", "matrix"} - set(rows.fieldnames or ()):
            raise ValueError(f"{path} is no freeze log: it lacks the columns {', '.join(sorted(missing))}.")
        frozen = {}
        for row in rows:
            if not row["module"] or not row["matrix"] or not row["step"].isdigit():
                raise ValueError(f"{path}, line {rows.line_num}: must have a step (a number), a module and a matrix.")
            frozen[row["module"], row["matrix"]] = int(row["step"])
        return frozen


def cells(frozen: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """The same by (row, column) of the map: layer number, and kind of module with its matrix."""
    placed = {}
    for (module, matrix), step in frozen.items():
        match = IN_LAYER.search(module)
        layer, kind = match.groups() if match else (OUTSIDE, module)
        placed[layer, f"{kind} {matrix}"] = step
    return placed


def plot_freeze_map(frozen: Mapping[tuple[str, str], int], path: str | os.PathLike) -> None:
    """Write the picture of `draw_freeze_map` to `path`; the ending says the format."""
    write(draw_freeze_map(frozen), path)


def draw_freeze_map(frozen: Mapping[tuple[str, str], int], title: str = "", background: str = "light"):
    """Draw what `read_freeze_log` or `FreezeController.frozen` returns; an empty cell was not frozen in the training.

    The colours (viridis) differ in lightness, too, so the map can be read in grey and by colour-blind readers; each
    cell also has its number.

    Returns:
        The `matplotlib` figure.

    Raises:
        ValueError: nothing was frozen.
    """
    placed = cells(frozen)
    if not placed:
        raise ValueError("nothing was frozen, so there is no map to draw.")
    rows, columns = sorted({row for row, _ in placed}, key=number), sorted({column for _, column in placed})
    size = (2.4 + 0.52 * len(columns), max(3.2, 2.2 + 0.32 * len(rows)))
    with new_figure(size, background) as figure:
        axes = figure.subplots()
        values = [[placed.get((row, column), float("nan")) for column in columns] for row in rows]
        image = axes.imshow(values, cmap="viridis", aspect="auto")
        middle = (min(placed.values()) + max(placed.values())) / 2
        for (row, column), step in placed.items():
            ink = "white" if step < middle else "black"
            axes.text(columns.index(column), rows.index(row), step, ha="center", va="center", size=7, color=ink)
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", size=8)
        axes.set_yticks(range(len(rows)), rows, size=8)
        axes.set(ylabel="layer, numbered as in the modules' names", facecolor=muted(background))
        if title:
            figure.suptitle(title, size=10)
        figure.colorbar(image, label="step at which it was frozen")
    return figure


def number(layer: str) -> tuple[bool, int]:
    """Layers by number, what is outside of them last."""
    return (layer == OUTSIDE, 0 if layer == OUTSIDE else int(layer))

"""The folder of a sweep: finished cells, their runs and logs.

cells/<name>.json    a finished cell
cells/<name>.log     what a cell prints; it stays if the cell failed
locks/<key>          a cell that is being done
runs/<name>/         the output folder of its command
"""

import json
import os
import shutil
from pathlib import Path

from ..recipes.recipe_files import ArgumentsError
from .grid import Cell
from .locks import Lock


class Store:
    """The folder; made when something is first written."""

    def __init__(self, folder: Path):
        self.folder = folder

    def record_file(self, cell: Cell) -> Path | None:
        """The file of a finished cell, whatever its label was."""
        return next((self.folder / "cells").glob(f"*-{cell.key}.json"), None)

    def record(self, cell: Cell) -> dict | None:
        """What is known of a finished cell; None if it is not finished.

        Raises:
            ArgumentsError: its file is damaged.
        """
        file = self.record_file(cell)
        if file is None:
            return None
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ArgumentsError(f"{file}: no valid JSON; delete it to have the cell done again.") from error

    def save(self, cell: Cell, record: dict) -> None:
        """Write the file of a finished cell."""
        self.write(Path("cells", f"{cell.name}.json"), json.dumps(record, indent=2) + "\n")

    def write(self, name: Path | str, text: str) -> Path:
        """Write a file of the folder; it is there whole or not at all."""
        file = self.inside(name)
        partial = file.with_suffix(f".part{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        return partial.replace(file)

    def lock(self, cell: Cell, owner: str = "") -> Lock:
        return Lock(self.folder / "locks" / cell.key, owner)

    def log(self, cell: Cell) -> Path:
        return self.inside(Path("cells", f"{cell.name}.log"))

    def run_folder(self, cell: Cell) -> Path:
        return self.folder / "runs" / cell.name

    def clear_run(self, cell: Cell) -> None:
        shutil.rmtree(self.run_folder(cell), ignore_errors=True)

    def inside(self, name: Path | str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

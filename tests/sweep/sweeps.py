"""Sweeps whose cells are small scripts in place of trainings."""

from pathlib import Path

import yaml

import ginets.cli.sweep_actions  # noqa: F401  imported before a test patches what it takes over
from ginets.sweep import cell as cell_module
from ginets.sweep.grid import Sweep, load
from ginets.sweep.store import Store


GRID = {
    "command": "glue",
    "arguments": {"model_name_or_path": "m", "task_name": "mrpc", "do_train": True},
    "grid": {
        "method": {"lora": {"adapter": "lora", "r": 4}, "ina": {"adapter": "ina", "r": 4}},
        "learning_rate": [1e-3, 0.02],
    },
    "seeds": [1, 2],
}
# what a cell does: where it is put, its seed and its output folder are given to it
FINISH = """
import json, os, sys
os.makedirs(folder, exist_ok=True)
with open(folder + "/all_results.json", "w") as file:
    json.dump({"eval_f1": seed / 10, "eval_runtime": 1.0, "threads": os.environ["OMP_NUM_THREADS"]}, file)
"""


def write(folder: Path, **changes) -> Path:
    """Write a sweep; a change of None takes the field out."""
    content = {"output_dir": str(folder / "out")} | GRID | changes
    file = folder / "sweep.yaml"
    text = yaml.safe_dump({name: value for name, value in content.items() if value is not None}, sort_keys=False)
    file.write_text(text, encoding="utf-8")
    return file


def make(folder: Path, **changes) -> tuple[Sweep, Store]:
    sweep = load(write(folder, **changes))
    return sweep, Store(sweep.output_dir)


def pretend(monkeypatch, code: str) -> None:
    """Cells run `code`, with the names `folder`, `seed`, `label` and `common` (the folder of the sweep)."""

    def command_of(cell, store) -> list[str]:
        names = {
            "folder": str(store.run_folder(cell)),
            "seed": cell.seed,
            "label": cell.label,
            "common": str(store.folder),
        }
        return ["-c", "\n".join([*(f"{name} = {value!r}" for name, value in names.items()), code])]

    monkeypatch.setattr(cell_module, "command_of", command_of)

"""What a leaderboard compares, and the cells of its tuning and of its tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..sweep.grid import Sweep, build


BASE = "model_name_or_path"  # the place of the base model


@dataclass(frozen=True)
class Task:
    """What methods are scored on.

    Attributes:
        command: what stands after `ginets`.
        metric: the score, without `eval_`; higher is better.
        arguments: of this task, beside the common ones.
        places: where its data lies.
        scale: what a score is multiplied by in the report, to be a percentage.
    """

    name: str
    command: str
    metric: str
    arguments: Mapping[str, Any]
    places: Mapping[str, str]
    scale: float = 100


@dataclass(frozen=True)
class Method:
    """What is compared: arguments, and the learning rates that are tried for it. `note`: what a reader has to know."""

    name: str
    arguments: Mapping[str, Any]
    rates: Sequence[float]
    note: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """A protocol; `docs/leaderboard.md` says what the fields mean. `selected`: the tasks that are run and reported."""

    title: str
    places: Mapping[str, Any]
    arguments: Mapping[str, Any]
    seeds: Sequence[int]
    baselines: Sequence[str]
    tuning_task: str
    tuning_seeds: Sequence[int]
    tuning_arguments: Mapping[str, Any]
    tasks: Mapping[str, Task]
    methods: Mapping[str, Method]
    selected: Sequence[str]

    @property
    def first_rates(self) -> dict[str, float]:
        """Method → the smallest of its learning rates, for what does not depend on which is chosen."""
        return {name: method.rates[0] for name, method in self.methods.items()}

    def tuning(self, folder: Path) -> Sweep:
        """The cells that choose learning rates: each method at each of its rates."""
        task = self.tasks[self.tuning_task]
        sweeps = [
            self.sweep(folder, task, {name: dict(method.arguments)}, self.tuning_seeds, list(method.rates))
            for name, method in self.methods.items()
        ]
        return replace(sweeps[0], cells=[cell for sweep in sweeps for cell in sweep.cells])

    def task(self, folder: Path, name: str, rates: Mapping[str, float]) -> Sweep:
        """The cells of a task, seed by seed; `rates`: method → its learning rate."""
        methods = {
            each: dict(method.arguments) | {"learning_rate": rates[each]} for each, method in self.methods.items()
        }
        sweep = self.sweep(folder, self.tasks[name], methods, self.seeds)
        return replace(sweep, cells=sorted(sweep.cells, key=lambda cell: self.seeds.index(cell.seed)))

    def sweep(
        self,
        folder: Path,
        task: Task,
        methods: dict[str, dict],
        seeds: Sequence[int],
        rates: list[float] | None = None,
    ) -> Sweep:
        """A sweep of methods on a task; with `rates` it is part of the tuning."""
        return build({
            "command": task.command,
            "output_dir": str(folder),
            "arguments": {**self.arguments, **task.arguments, **(self.tuning_arguments if rates else {})},
            "places": {**self.places, **task.places},
            "grid": {"method": methods, "task": {task.name: {}}} | ({"learning_rate": rates} if rates else {}),
            "exclude": [],
            "seeds": list(seeds),
            "metrics": [],
            "keep_runs": False,
            "slurm": {},
            "ray": {},
        })  # fmt: skip

"""What finished cells say: scores with intervals, paired differences to the baselines, costs."""

import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from transformers.hf_argparser import string_to_bool

from ..metrics.intervals import Mean, holm, mean_interval
from ..recipes.recipe_files import ArgumentsError
from ..sweep.grid import Cell
from ..sweep.store import Store
from .definition import BASE, Leaderboard
from .tuning import best_rates, score


ALL_TASKS = "all tasks"  # the mean of a seed's scores on all reported tasks
COSTS = {
    "parameters": "trainable_parameters_without_head", "train_seconds": "train_runtime",
}  # fmt: skip


AUTOCAST = ("bf16", "fp16")


@dataclass(frozen=True)
class Difference:
    """To a baseline, paired by seed. `p`: corrected over the methods of the task (Holm)."""

    mean: Mean
    p: float

    @property
    def shown(self) -> bool:
        """Whether it is more than noise at 5 %."""
        return self.p < 0.05


@dataclass(frozen=True)
class Column:
    """The scores on one task, in percent: method → one for each of `seeds`."""

    task: str
    metric: str
    seeds: Sequence[int]
    scores: Mapping[str, Sequence[float]]

    @cached_property
    def means(self) -> dict[str, Mean]:
        return {method: mean_interval(scores) for method, scores in self.scores.items()}

    def differences(self, baseline: str) -> dict[str, Difference]:
        """Method → its scores minus those of the baseline, for all but the baseline."""
        base = self.scores[baseline]
        means = {
            method: mean_interval([own - other for own, other in zip(scores, base, strict=True)])
            for method, scores in self.scores.items()
            if method != baseline
        }
        adjusted = holm({method: mean.p for method, mean in means.items()})
        return {method: Difference(mean, adjusted[method]) for method, mean in means.items()}


class Results:
    """The cells of a leaderboard that are in a folder, whole tasks only: no method is missing from a reported one."""

    def __init__(self, leaderboard: Leaderboard, folder: Path):
        self.leaderboard, self.folder, self.store = leaderboard, folder, Store(folder)

    def count(self, cells: Sequence[Cell]) -> tuple[int, int]:
        """How many of the cells are there, and how many there are to be."""
        return sum(self.store.record_file(cell) is not None for cell in cells), len(cells)

    @cached_property
    def tuning(self) -> list[tuple[Cell, dict]]:
        cells = self.leaderboard.tuning(self.folder).cells
        return [(cell, record) for cell in cells if (record := self.store.record(cell))]

    @cached_property
    def base(self) -> str | None:
        """The base model of the runs in the folder, as it was given; None if there are none.

        Raises:
            ArgumentsError: it is not the same for all: their scores belong in different tables.
        """
        found = sorted({base_of(record) for records in self.runs.values() for record in records})
        if len(found) > 1:
            raise ArgumentsError(f"{self.folder} has runs of several base models: {', '.join(found)}.")
        return found[0] if found else None

    @cached_property
    def rates(self) -> dict[str, float]:
        """Method → chosen learning rate; raises `ArgumentsError` before the tuning is finished."""
        return best_rates(self.leaderboard, self.tuning)

    @cached_property
    def records(self) -> dict[str, dict[int, dict[str, dict]]]:
        """Task → seed → method → record, of those seeds for which every method is there; two seeds at least."""
        found = {}
        for name in self.leaderboard.selected:
            seeds: dict[int, dict[str, dict]] = {}
            for cell in self.leaderboard.task(self.folder, name, self.rates).cells:
                if record := self.store.record(cell):
                    seeds.setdefault(cell.seed, {})[cell.variant["method"]] = record
            whole = {seed: each for seed, each in seeds.items() if len(each) == len(self.leaderboard.methods)}
            if len(whole) > 1:
                found[name] = whole
        return found

    @property
    def runs(self) -> dict[str, list[dict]]:
        """The records of the tuning, and of each reported task."""
        tasks = {
            task: [each for methods in seeds.values() for each in methods.values()]
            for task, seeds in self.records.items()
        }
        return {"tuning": [record for _, record in self.tuning]} | tasks

    @cached_property
    def columns(self) -> list[Column]:
        """One for each reported task and, if there are several, one for their mean.

        Raises:
            ArgumentsError: no task is whole.
        """
        if not self.records:
            raise ArgumentsError(
                f"{self.folder}: no task has all methods with two seeds yet; see `ginets bench status`."
            )
        columns = [
            Column(
                name, task.metric, list(seeds),
                {method: [task.scale * score(each[method], task.metric) for each in seeds.values()]
                 for method in self.leaderboard.methods},
            )
            for name, seeds in self.records.items()
            for task in [self.leaderboard.tasks[name]]
        ]  # fmt: skip
        shared = [seed for seed in self.leaderboard.seeds if all(seed in column.seeds for column in columns)]
        return [*columns, average(columns, shared)] if len(columns) > 1 and len(shared) > 1 else columns

    def cost(self, method: str, name: str) -> float:
        """The median over the seeds of the first reported task: tasks take different times."""
        found = [each[method] for each in next(iter(self.records.values())).values()]
        place = COSTS.get(name)
        return statistics.median(each["figures"][place] if place else each[name] for each in found)


def base_of(record: Mapping) -> str:
    """The base model that a run was given."""
    return option_of(record, BASE)


def precision_of(record: Mapping) -> str:
    """That of a run; see `precision`."""
    return precision({name: option_of(record, name) or False for name in AUTOCAST})


def precision(arguments: Mapping) -> str:
    """`bf16` or `fp16` where runs with these arguments compute in autocast, else `fp32`."""
    return next((name for name in AUTOCAST if string_to_bool(str(arguments.get(name, False)))), "fp32")


def option_of(record: Mapping, name: str) -> str | None:
    """What the command of a run gives for an option; None if it does not have it."""
    words = shlex.split(record["command"])
    return words[words.index(f"--{name}") + 1] if f"--{name}" in words else None


def average(columns: Sequence[Column], seeds: Sequence[int]) -> Column:
    """The mean over tasks, seed by seed."""
    scores = {
        method: [
            statistics.fmean(column.scores[method][list(column.seeds).index(seed)] for column in columns)
            for seed in seeds
        ]
        for method in columns[0].scores
    }
    return Column(ALL_TASKS, "mean score", list(seeds), scores)

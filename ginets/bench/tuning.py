"""The learning rate of each method, from the cells of the tuning."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from ..recipes.recipe_files import ArgumentsError
from ..sweep.grid import Cell
from .definition import Leaderboard


def best_rates(leaderboard: Leaderboard, records: Sequence[tuple[Cell, dict]]) -> dict[str, float]:
    """Method → the learning rate of the highest mean score in the tuning.

    Equal scores, such as those of runs that give every row the same answer, are told apart by the loss where all have
    one, and then the smallest rate is taken. A run whose score or loss is no number (it diverged) is the worst.

    Args:
        records: cells of the tuning with what they gave.

    Raises:
        ArgumentsError: a cell is not there yet.
    """
    merits, chosen = by_rate(leaderboard, records), {}
    for name, method in leaderboard.methods.items():
        found = merits.get(name, {})
        if any(len(found.get(rate, ())) < len(leaderboard.tuning_seeds) for rate in method.rates):
            raise ArgumentsError(f"the tuning of {name} is not finished; `ginets bench run` goes on with it.")
        chosen[name] = max(method.rates, key=lambda rate: tuple(map(sum, zip(*found[rate], strict=True))))
    return chosen


def by_rate(
    leaderboard: Leaderboard, records: Sequence[tuple[Cell, dict]]
) -> dict[str, dict[float, list[tuple[float, float]]]]:
    """Method → learning rate → score and negative loss of each seed; −inf for both where the run diverged."""
    merits: dict[str, dict[float, list[tuple[float, float]]]] = {}
    metric = leaderboard.tasks[leaderboard.tuning_task].metric
    for cell, record in records:
        rates = merits.setdefault(cell.variant["method"], {})
        found = score(record, metric), -float(record["figures"].get("eval_loss", 0))
        rates.setdefault(cell.arguments["learning_rate"], []).append(
            found if all(map(isfinite, found)) else (float("-inf"), float("-inf"))
        )
    return merits


def score(record: Mapping[str, Any], metric: str) -> float:
    """The score of a cell."""
    value = record["figures"].get(f"eval_{metric}")
    if value is None:
        raise ArgumentsError(f"cell {record['key']} has no figure eval_{metric}.")
    return float(value)

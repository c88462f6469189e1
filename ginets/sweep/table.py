"""What a sweep says: figures by variant, mean and standard deviation over the seeds."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from ..recipes.recipe_files import ArgumentsError
from .grid import Cell


EVALUATED = "eval_"
COSTS = ("runtime", "samples", "per_second")  # ends of names of evaluations that are no scores


@dataclass(frozen=True)
class Row:
    """A metric of a variant over the seeds that are there. `deviation`: of the sample; None of a single value."""

    variant: Mapping[str, str]
    metric: str
    values: Sequence[float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.deviation is None else f"{self.mean:.4g} ± {self.deviation:.2g}"


def summarise(records: Sequence[tuple[Cell, dict]], metrics: Sequence[str]) -> list[Row]:
    """Rows by variant and metric, in the order of the grid.

    Args:
        records: finished cells with what they gave.
        metrics: names of figures, with or without `eval_`, or of costs (`seconds`, `peak_memory_mib`, `saved_mib`);
            none: all scores of the evaluation.

    Raises:
        ArgumentsError: no cell has a number of such a name.
    """
    flat = [(cell, numbers(record)) for cell, record in records]
    names = list(dict.fromkeys(name for _, values in flat for name in values))
    chosen = [find(metric, names) for metric in metrics] or [name for name in names if is_score(name)]
    variants: dict[tuple, list[dict[str, float]]] = {}
    for cell, values in flat:
        variants.setdefault(tuple(cell.variant.items()), []).append(values)
    return [
        Row(dict(variant), name, found)
        for variant, cells in variants.items()
        for name in chosen
        if (found := [values[name] for values in cells if name in values])
    ]


def numbers(record: dict) -> dict[str, float]:
    """All numbers of a record: its figures and what it cost."""
    costs = {name: record[name] for name in ("seconds", "peak_memory_mib", "saved_mib")}
    found = record["figures"] | costs
    return {name: value for name, value in found.items() if isinstance(value, Real) and not isinstance(value, bool)}


def is_score(name: str) -> bool:
    return name.startswith(EVALUATED) and not name.endswith(COSTS)


def find(metric: str, names: Sequence[str]) -> str:
    for name in (EVALUATED + metric, metric):
        if name in names:
            return name
    raise ArgumentsError(f"no finished cell has a figure {metric!r}; allowed: {', '.join(names) or 'none yet'}.")


def as_text(rows: Sequence[Row]) -> str:
    """One line per variant, one column per metric."""
    axes = list(rows[0].variant) if rows else []
    metrics = list(dict.fromkeys(row.metric for row in rows))
    lines: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        lines.setdefault(tuple(row.variant.values()), {})[row.metric] = row
    table = [[*axes, "seeds", *metrics]]
    for names, found in lines.items():
        seeds = max(len(row.values) for row in found.values())
        table.append([*names, str(seeds), *(str(found.get(metric, "-")) for metric in metrics)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def as_csv(rows: Sequence[Row]) -> str:
    """One line per variant and metric: the axes, metric, seeds, mean, sd."""
    axes = list(rows[0].variant) if rows else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*axes, "metric", "seeds", "mean", "sd"])
    for row in rows:
        deviation = "" if row.deviation is None else row.deviation
        writer.writerow([*row.variant.values(), row.metric, len(row.values), row.mean, deviation])
    return text.getvalue()

"""What a sweep says: figures by variant over the seeds, and how they differ from those of the first variant, by seed."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from numbers import Real

from ..recipes.recipe_files import ArgumentsError
from .grid import Cell


EVALUATED = "eval_"
COSTS = ("runtime", "samples", "per_second")  # ends of names of evaluations that are no scores


@dataclass(frozen=True)
class Summary:
    """Some values. `deviation`: of the sample; None of a single value, NaN where a run diverged."""

    values: Sequence[float]

    @property
    def finite(self) -> bool:
        return all(map(isfinite, self.values))

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values) if self.finite else sum(self.values) / len(self.values)

    @property
    def deviation(self) -> float | None:
        if len(self.values) < 2:
            return None
        return statistics.stdev(self.values) if self.finite else nan

    def text(self, sign: str = "") -> str:
        spread = "" if self.deviation is None else f" ± {self.deviation:.2g}"
        return f"{self.mean:{sign}.4g}{spread}"


@dataclass(frozen=True)
class Row:
    """A metric of a variant.

    Attributes:
        values: over the seeds that are there.
        differences: to the first variant, over the seeds that both have; None: there is none, or this is the first.
    """

    variant: Mapping[str, str]
    metric: str
    values: Summary
    differences: Summary | None = None


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
    variants: dict[tuple, dict[int, dict[str, float]]] = {}
    for cell, values in flat:
        variants.setdefault(tuple(cell.variant.items()), {})[cell.seed] = values
    first = next(iter(variants), None)
    rows = []
    for variant in variants:
        for name in chosen:
            found, reference = (
                {seed: values[name] for seed, values in variants[each].items() if name in values}
                for each in (variant, first)
            )
            apart = [value - reference[seed] for seed, value in found.items() if seed in reference]
            differences = Summary(apart) if apart and variant != first else None
            if found:
                rows.append(Row(dict(variant), name, Summary([*found.values()]), differences))
    return rows


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
    """One line per variant, one column per metric; below, where there are any, the differences in the same form."""
    parts = [grid_of([(row, row.values, "") for row in rows], "seeds")]
    if differing := [(row, row.differences, "+") for row in rows if row.differences]:
        first = ", ".join(rows[0].variant.values())
        parts += [f"less those of the first ({first}), seed by seed:", grid_of(differing, "pairs")]
    return "\n\n".join(parts)


def grid_of(entries: Sequence[tuple[Row, Summary, str]], counted: str) -> str:
    """Lines of variants and columns of metrics; `entries`: row, what to print of it, sign of positive numbers."""
    axes = list(entries[0][0].variant) if entries else []
    metrics = list(dict.fromkeys(row.metric for row, *_ in entries))
    lines: dict[tuple, dict[str, tuple[int, str]]] = {}
    for row, summary, sign in entries:
        line = lines.setdefault(tuple(row.variant.values()), {})
        line[row.metric] = len(summary.values), summary.text(sign)
    table = [[*axes, counted, *metrics]]
    for names, found in lines.items():
        count = max(count for count, _ in found.values())
        table.append([*names, str(count), *(found.get(metric, (0, "-"))[1] for metric in metrics)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in table
    )


def as_csv(rows: Sequence[Row]) -> str:
    """One line per variant and metric: the axes, metric, seeds, mean, sd; pairs, difference and its sd."""
    axes = list(rows[0].variant) if rows else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*axes, "metric", "seeds", "mean", "sd", "pairs", "difference", "difference_sd"])
    for row in rows:
        figures = [each for summary in (row.values, row.differences) for each in as_figures(summary)]
        writer.writerow([*row.variant.values(), row.metric, *figures])
    return text.getvalue()


def as_figures(summary: Summary | None) -> tuple:
    """Number of values, mean, deviation; None is written as nothing."""
    return (len(summary.values), summary.mean, summary.deviation) if summary else (0, None, None)


def as_records(rows: Sequence[Row]) -> list[dict]:
    """As in the csv file, with the values themselves, in the order of the seeds that are there.

    None for what is no number: JSON has no word for it.
    """

    def known(value: float | None) -> float | None:
        return value if value is not None and isfinite(value) else None

    return [
        {
            "variant": dict(row.variant),
            "metric": row.metric,
            "values": list(map(known, row.values.values)),
            "mean": known(row.values.mean),
            "sd": known(row.values.deviation),
            "differences": list(map(known, row.differences.values)) if row.differences else None,
        }
        for row in rows
    ]

"""Means over a few runs, with t intervals, paired differences, and a correction for testing many of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..extras import require


ROUNDING = 1e-9  # spread that is less than this part of the values is that of their last digits


@dataclass(frozen=True)
class Mean:
    """A mean and half the width of its interval; `p`: of the two-sided t test that the true mean is 0.

    Without spread there is no test, and `p` is 1: scores on a few hundred rows are multiples of one row, and the same
    difference twice or three times shows how coarse they are, not that it will always be so.
    """

    value: float
    half: float
    p: float

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


def mean_interval(values: Sequence[float], level: float = 0.95) -> Mean:
    """Mean of independent runs with its t interval; of a single run the interval is infinite.

    Paired by seed, two methods are compared by the `mean_interval` of their differences.
    """
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Mean(mean, math.inf, 1.0)
    t = require("scipy.stats", extra="train").t
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    if error <= ROUNDING * np.max(np.abs(values)):
        return Mean(mean, 0.0, 1.0)
    return Mean(mean, float(t.ppf((1 + level) / 2, count - 1)) * error, float(2 * t.sf(abs(mean) / error, count - 1)))


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p values (Holm 1979): below α for at most a share α of families of tests in which nothing is true.

    A p that is no number, of runs that diverged, counts as 1.
    """
    known = {name: 1.0 if math.isnan(p) else p for name, p in ps.items()}
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(known, key=known.get)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in ps}

"""Intervals and corrections against values worked out by hand or by scipy's own tests."""

import math

import pytest

from ginets.metrics.intervals import holm, mean_interval


def test_interval_by_hand():
    """1, 2, 3: mean 2, error 1/√3; t of 0.975 at 2 degrees of freedom is 4.302653."""
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.value == 2 and found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert (found.low, found.high) == (2 - found.half, 2 + found.half)


def test_p_is_that_of_the_paired_test():
    stats = pytest.importorskip("scipy.stats")
    ours, theirs = [0.71, 0.75, 0.70, 0.78], [0.69, 0.76, 0.66, 0.70]
    found = mean_interval([a - b for a, b in zip(ours, theirs, strict=True)])
    expected = stats.ttest_rel(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue) and found.low == pytest.approx(interval.low)
    assert found.high == pytest.approx(interval.high)


def test_runs_without_spread():
    assert mean_interval([0.5]).half == math.inf and mean_interval([0.5]).p == 1
    assert (mean_interval([0.0, 0.0]).p, mean_interval([0.5, 0.5]).p) == (1, 1)


def test_the_same_difference_three_times_is_no_evidence():
    """One row of 277 more, at different scores: what is left of the spread is rounding. A real one is tested."""
    rows = [(145, 144), (150, 149), (171, 170)]
    found = mean_interval([100 * a / 277 - 100 * b / 277 for a, b in rows])
    assert (found.half, found.p) == (0, 1) and found.value == pytest.approx(100 / 277)
    real = mean_interval([100 * k / 277 for k in (5, 5, 6)])  # t = 16 at 2 degrees of freedom: p = 1 − 16 / √258
    assert real.half > 0 and real.p == pytest.approx(1 - 16 / 258**0.5)


def test_holm_by_hand():
    """Sorted .01, .02, .03 with factors 3, 2, 1: .03, .04, and .03 raised to the one before it."""
    assert holm({"c": 0.03, "a": 0.01, "b": 0.02}) == pytest.approx({"c": 0.04, "a": 0.03, "b": 0.04})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0} and holm({}) == {}


@pytest.mark.parametrize("order", ["axcd", "xacd", "dcax"])
def test_holm_with_a_p_that_is_no_number(order):
    ps = {"a": 0.0005, "x": math.nan, "c": 0.001, "d": 0.0008}
    found = holm({name: ps[name] for name in order})
    assert found == pytest.approx({"a": 0.002, "d": 0.0024, "c": 0.0024, "x": 1.0}) and list(found) == list(order)

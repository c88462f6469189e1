"""The interval of a share, against scipy's and its own definition."""

import pytest
from scipy.stats import binomtest

from ginets.metrics.accuracy import accuracy, wilson


@pytest.mark.parametrize("correct,total", [(0, 1), (1, 1), (0, 1319), (509, 1319), (1319, 1319), (3, 7)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_wilson_is_that_of_scipy(correct, total, level):
    expected = binomtest(correct, total).proportion_ci(level, method="wilson")
    assert wilson(correct, total, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_ends_are_z_standard_errors_away():
    z = 1.959963984540054
    for end in wilson(30, 80):
        assert abs(end - 30 / 80) == pytest.approx(z * (end * (1 - end) / 80) ** 0.5)


def test_figures_are_percent():
    figures = accuracy([True, False, True, True])
    low, high = wilson(3, 4)
    assert figures == {
        "accuracy": 75.0, "accuracy_low": 100 * low, "accuracy_high": 100 * high, "correct": 3, "total": 4,
    }  # fmt: skip


@pytest.mark.parametrize("arguments,message", [
    ((1, 0), "1 of 0 is no share"), ((0, 0), "0 of 0"), ((-1, 2), "-1 of 2"), ((3, 2), "3 of 2"),
    ((1, 2, 1.0), "level is 1.0"), ((1, 2, 0.0), "level is 0.0"),
])  # fmt: skip
def test_no_share(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson(*arguments)

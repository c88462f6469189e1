"""Accuracy of answers that are right or wrong, with an interval for the questions that were not asked."""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist


def wilson(correct: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    The shares q for which the observed one is within z standard errors √(q(1−q)/n) (E. B. Wilson, 1927). Unlike
    ±1.96 standard errors around the observed share it stays within 0 and 1 and has a width at 0 and 1.

    Raises:
        ValueError: no trials, more hits than trials, or a level that is no share.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} of {total} is no share.")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return (max(0.0, centre - half) if correct else 0.0), (min(1.0, centre + half) if correct < total else 1.0)


def accuracy(hits: Sequence[bool], level: float = 0.95) -> dict[str, float]:
    """Percent right, with the ends of the interval: `accuracy`, `accuracy_low`, `accuracy_high`, `correct`, `total`."""
    correct, total = sum(map(bool, hits)), len(hits)
    low, high = wilson(correct, total, level)
    return {
        "accuracy": 100 * correct / total,
        "accuracy_low": 100 * low,
        "accuracy_high": 100 * high,
        "correct": correct,
        "total": total,
    }

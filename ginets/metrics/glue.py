"""The metrics of GLUE, as plain floats under their usual names."""

import logging
import warnings
from collections.abc import Sequence

import numpy as np

from ..extras import require


logger = logging.getLogger(__name__)


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Share of equal entries."""
    return float(require("sklearn.metrics", extra="train").accuracy_score(labels, predictions))


def f1(predictions: np.ndarray, labels: np.ndarray) -> float:
    """F1 of class 1; 0.0 when class 1 is neither predicted nor present."""
    return float(require("sklearn.metrics", extra="train").f1_score(labels, predictions, zero_division=0))


def matthews_correlation(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Matthews correlation; 0.0 when all predictions or all labels are equal."""
    with warnings.catch_warnings():  # scikit-learn remarks on a single label, for which 0.0 is what we want
        warnings.simplefilter("ignore", UserWarning)
        return float(require("sklearn.metrics", extra="train").matthews_corrcoef(labels, predictions))


def pearson(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Linear correlation; 0.0, with a warning, where it is undefined."""
    return _correlation("pearsonr", predictions, labels)


def spearmanr(predictions: np.ndarray, labels: np.ndarray) -> float:
    """Rank correlation; 0.0, with a warning, where it is undefined."""
    return _correlation("spearmanr", predictions, labels)


METRICS = {metric.__name__: metric for metric in (accuracy, f1, matthews_correlation, pearson, spearmanr)}


def compute(names: Sequence[str], predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compute the named metrics; more than one are also averaged as `combined_score`.

    Args:
        names: keys of `METRICS`.
        predictions: class ids, or scores for regression, shape `(n,)`.
        labels: gold values, shape `(n,)`.

    Raises:
        ValueError: unknown name, shapes that differ, or nothing to compare.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"unknown metric {unknown[0]!r}; the metrics are {', '.join(METRICS)}.")
    if predictions.shape != labels.shape or predictions.ndim != 1 or not len(labels):
        raise ValueError(
            f"predictions have shape {predictions.shape} and labels {labels.shape}; both must be (n,) with n ≥ 1."
        )
    figures = {name: METRICS[name](predictions, labels) for name in names}
    if len(figures) > 1:
        figures["combined_score"] = float(np.mean(list(figures.values())))
    return figures


def _correlation(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    """A scipy correlation. Constant or single values have none: report 0.0 (no relation shown) and say so."""
    predictions, labels = predictions.astype(np.float64), labels.astype(np.float64)
    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        value = float("nan")
    else:
        value = float(getattr(require("scipy.stats", extra="train"), name)(predictions, labels).statistic)
    if np.isnan(value):
        logger.warning("%s is undefined here (constant or missing values); reported as 0.0.", name)
        return 0.0
    return value

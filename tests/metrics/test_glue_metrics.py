"""GLUE metrics against values worked out by hand."""

import logging
import math

import numpy as np
import pytest

from ginets.metrics.glue import METRICS, compute


# tp = 2, fp = 1, fn = 1, tn = 2
PREDICTIONS, LABELS = np.array([1, 1, 1, 0, 0, 0]), np.array([1, 1, 0, 1, 0, 0])


def test_classification_by_hand():
    figures = compute(["accuracy", "f1", "matthews_correlation"], PREDICTIONS, LABELS)
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert figures["matthews_correlation"] == pytest.approx((2 * 2 - 1 * 1) / math.sqrt(3 * 3 * 3 * 3))
    assert figures["combined_score"] == pytest.approx((4 / 6 + 2 / 3 + 1 / 3) / 3)
    assert all(type(value) is float for value in figures.values())


def test_one_metric_has_no_combined_score():
    assert set(compute(["accuracy"], PREDICTIONS, LABELS)) == {"accuracy"}


def test_correlations_by_hand():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 10.0])
    # centred: (-1.5, -.5, .5, 1.5) and (-3, -2, -1, 6): 4.5 + 1 − .5 + 9 = 14, norms² 5 and 50
    assert compute(["pearson"], x, y)["pearson"] == pytest.approx(14 / math.sqrt(250))
    assert compute(["spearmanr"], x, y)["spearmanr"] == pytest.approx(1.0)
    # ranks 1 2 3 4 against 2 1 3 4: 1 − 6·2 / (4·15)
    assert compute(["spearmanr"], x, np.array([2.0, 1.0, 3.0, 9.0]))["spearmanr"] == pytest.approx(0.8)


@pytest.mark.parametrize("constant", ["predictions", "labels"])
def test_constant_values_are_defined(constant, caplog):
    same, varied = np.ones(4), np.array([0.0, 1.0, 1.0, 0.0])
    arrays = (same, varied) if constant == "predictions" else (varied, same)
    assert compute(["matthews_correlation"], *arrays) == {"matthews_correlation": 0.0}
    with caplog.at_level(logging.WARNING, "ginets"):
        assert compute(["pearson", "spearmanr"], *arrays) == {"pearson": 0.0, "spearmanr": 0.0, "combined_score": 0.0}
    assert "pearsonr is undefined" in caplog.text and "reported as 0.0" in caplog.text


def test_f1_without_positives_is_zero():
    assert compute(["f1"], np.zeros(3), np.zeros(3))["f1"] == 0.0


@pytest.mark.parametrize(
    ("names", "predictions", "labels", "says"),
    [
        (["bleu"], [1], [1], "unknown metric 'bleu'; the metrics are " + ", ".join(METRICS)),
        (["accuracy"], [1, 2], [1], "shape"),
        (["accuracy"], [], [], "n ≥ 1"),
    ],
)
def test_bad_input(names, predictions, labels, says):
    with pytest.raises(ValueError, match=says):
        compute(names, np.array(predictions), np.array(labels))

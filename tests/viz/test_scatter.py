"""Parameters against score: the t interval by hand, points where they belong."""

import math

import numpy as np
import pytest

from ginets.viz.scatter import draw_scatter, mean_interval


def test_interval_by_hand():
    """Three values: t = 4.303 at two degrees of freedom, standard deviation 1."""
    mean, half = mean_interval([4.0, 5.0, 6.0])
    assert mean == 5 and half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean_interval([4.0]) == (4.0, math.inf)


def test_points():
    points = {"lora": [(1000, 0.8), (1000, 0.9)], "full": [(1e6, 0.7)]}
    figure = draw_scatter(points, "f1")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "f1"
    lora, full = axes.containers
    assert (lora.lines[0].get_xdata()[0], lora.lines[0].get_ydata()[0]) == (1000, pytest.approx(0.85))
    (bar,) = lora.lines[2][0].get_segments()
    half = 12.7062 * np.std([0.8, 0.9], ddof=1) / math.sqrt(2)
    np.testing.assert_allclose(bar[:, 1], [0.85 - half, 0.85 + half], rtol=1e-4)
    assert full.lines[2] == () and full.lines[0].get_ydata()[0] == 0.7
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [list(line.get_ydata()) for line in dots] == [[0.8, 0.9], [0.7]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["lora (2)", "full (1)"]


def test_no_parameters():
    with pytest.raises(ValueError, match="head: trainable_parameters_without_head is 0; on a logarithmic axis"):
        draw_scatter({"head": [(0, 0.5)]}, "f1")

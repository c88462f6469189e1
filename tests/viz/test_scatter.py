"""Parameters against score: the t interval by hand, points where they belong."""

import math

import numpy as np
import pytest

from ginets.viz.scatter import draw_scatter, offsets


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
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert left < 1000 and right > 1e6 and low < 0.85 - half and 0.85 + half < high < 2
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [list(line.get_ydata()) for line in dots] == [[0.8, 0.9], [0.7]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["lora (2)", "full (1)"]


def test_variants_of_one_size_stand_side_by_side():
    assert offsets({"b": 1010, "full": 1e6, "a": 1000, "c": 1000 * 1.19}) == {"a": -12, "b": 0, "c": 12, "full": 0}
    figure = draw_scatter({"a": [(1000, 0.8)], "b": [(1000, 0.8)], "full": [(1e6, 0.7)]}, "f1")
    figure.draw_without_rendering()
    a, b, full = (container.lines[0] for container in figure.axes[0].containers)
    at = [line.get_transform().transform(line.get_xydata().astype(float))[0] for line in (a, b, full)]
    assert at[1][0] - at[0][0] == pytest.approx(12 / 72 * figure.dpi) and at[1][1] == pytest.approx(at[0][1])
    assert list(b.get_xdata()) == [1000]
    assert all(figure.axes[0].bbox.contains(*point) for point in at)


def test_no_parameters():
    with pytest.raises(ValueError, match="head: trainable_parameters_without_head is 0; on a logarithmic axis"):
        draw_scatter({"head": [(0, 0.5)]}, "f1")

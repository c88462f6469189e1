"""Forest plots: intervals where they belong, rows in order, a title that fits."""

import math

import numpy as np
import pytest

from ginets.metrics.intervals import Mean
from ginets.viz.forest import draw_forest


LONG = "Difference to full, paired by seed, 95 % t interval; filled: p < 0.05 after Holm's correction"
ROWS = {"lora": Mean(-2.0, 1.5, 0.01), "ina": Mean(0.5, 4.0, 0.7), "gi": Mean(1.0, math.inf, 1.0)}


def test_rows():
    figure = draw_forest({"cola": ROWS, "rte": {"ina": Mean(3.0, 1.0, 0.1)}}, "points", LONG, 0, {"cola": ["lora"]})
    cola, rte = figure.axes
    assert (cola.get_title(), rte.get_title(), cola.get_xlabel()) == ("cola", "rte", "points")
    assert [label.get_text() for label in cola.get_yticklabels()] == ["lora", "ina", "gi"]
    low, high = cola.get_ylim()
    assert low > high  # the first name is on top
    lora, ina, gi = cola.containers
    assert [each.lines[0].get_xydata().tolist() for each in (lora, ina, gi)] == [[[-2, 0]], [[0.5, 1]], [[1, 2]]]
    np.testing.assert_allclose(lora.lines[2][0].get_segments()[0][:, 0], [-3.5, -0.5])
    assert gi.lines[2] == ()  # of a single run there is no interval
    faces = [each.lines[0].get_markerfacecolor() for each in (lora, ina, gi)]
    assert faces[0] == lora.lines[0].get_color() != ina.lines[0].get_color() and faces[1:] == ["none", "none"]
    assert [each.lines[0].get_xydata().tolist() for each in rte.containers] == [[[3, 1]]]  # beside its name
    assert cola.lines[0].get_xdata() == [0, 0]  # the reference


@pytest.mark.parametrize("panels", [1, 2, 4])
def test_title_fits(panels):
    figure = draw_forest({str(number): ROWS for number in range(panels)}, "points", LONG)
    figure.draw_without_rendering()
    (title,) = figure.texts
    box = title.get_window_extent()
    assert (
        title.get_text() == LONG and figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
    )
    assert all(box.y0 >= axes.title.get_window_extent().y1 for axes in figure.axes)  # nor over those of the panels

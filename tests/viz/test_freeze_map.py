"""The freeze map: every step in the cell of its layer and matrix, and a picture."""

import pytest

from ginets.tuners.aflora.callback import write_freeze_log
from ginets.viz.freeze_map import cells, draw_freeze_map, plot_freeze_map, read_freeze_log


FROZEN = {
    ("bert.encoder.layer.1.output.dense", "B"): 60,
    ("bert.encoder.layer.10.attention.self.query", "A"): 120,
    ("bert.encoder.layer.1.attention.self.query", "A"): 170,
    ("bert.pooler.dense", "A"): 90,
}


def test_log_is_read_back(tmp_path):
    write_freeze_log(tmp_path / "new" / "log.csv", FROZEN)
    assert read_freeze_log(tmp_path / "new" / "log.csv") == FROZEN
    (tmp_path / "other.csv").write_text("step,loss\n1,2\n")
    with pytest.raises(ValueError, match=r"other\.csv is no freeze log: it lacks the columns matrix, module"):
        read_freeze_log(tmp_path / "other.csv")
    for row in ("x,a.0.b,A", "3"):
        (tmp_path / "bad.csv").write_text(f"step,module,matrix\n{row}\n")
        with pytest.raises(ValueError, match=r"bad\.csv, line 2: must have a step"):
            read_freeze_log(tmp_path / "bad.csv")


def test_cells():
    assert cells(FROZEN) == {
        ("1", "output.dense B"): 60,
        ("10", "attention.self.query A"): 120,
        ("1", "attention.self.query A"): 170,
        ("outside the layers", "bert.pooler.dense A"): 90,
    }
    assert cells({("h.3.attn.c_attn", "B"): 1}) == {("3", "attn.c_attn B"): 1}


def test_each_step_is_drawn_in_its_cell():
    axes = draw_freeze_map(FROZEN).axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text() for label in axes.get_xticklabels()]
    assert rows == ["1", "10", "outside the layers"]
    values = axes.images[0].get_array()
    drawn = {
        (row, column): int(values[i, j])
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if not values.mask[i, j]
    }
    assert drawn == cells(FROZEN)
    texts = {
        (rows[int(text.get_position()[1])], columns[int(text.get_position()[0])]): int(text.get_text())
        for text in axes.texts
    }
    assert texts == cells(FROZEN)


def test_picture(tmp_path):
    plot_freeze_map(FROZEN, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing was frozen"):
        plot_freeze_map({}, tmp_path / "map.png")

"""Learning curves: the right points, and a picture."""

from ginets.viz.curves import curve, draw_learning_curve, plot_learning_curve


HISTORY = [
    {"epoch": 1.0, "loss": 0.7}, {"epoch": 1.0, "eval_loss": 0.6, "eval_f1": 0.5},
    {"epoch": 2.0, "loss": 0.4}, {"epoch": 2.0, "eval_loss": 0.5, "eval_f1": 0.8}, {"epoch": 2.0, "train_loss": 0.55},
]  # fmt: skip


def test_curve_takes_its_own_entries_only():
    assert curve(HISTORY, "loss") == ([1.0, 2.0], [0.7, 0.4])
    assert curve(HISTORY, "eval_f1") == ([1.0, 2.0], [0.5, 0.8])
    assert curve(HISTORY, "eval_accuracy") == ([], [])


def test_each_line_shows_its_own_figure():
    """The evaluation loss is `eval_loss`, not the training loss drawn again."""
    losses, scores = draw_learning_curve({"run": HISTORY}, "f1").axes
    drawn = {line.get_label(): list(line.get_ydata()) for line in losses.lines}
    assert drawn == {"training": [0.7, 0.4], "evaluation": [0.6, 0.5]}
    assert [list(line.get_ydata()) for line in scores.lines] == [[0.5, 0.8]]
    assert scores.get_ylabel() == "f1"
    two = draw_learning_curve({"a": HISTORY, "b": HISTORY[:2]}, "f1").axes[0]
    assert [text.get_text() for text in two.get_legend().get_texts()] == [
        "a, training", "a, evaluation", "b, training", "b, evaluation",
    ]  # fmt: skip


def test_picture_with_and_without_evaluation(tmp_path):
    for name, histories in (("two", {"a": HISTORY, "b": HISTORY[:2]}), ("train_only", {"a": HISTORY[:1]})):
        plot_learning_curve(histories, "f1", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

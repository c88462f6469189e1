"""Learning curves: the right points, and a picture."""

from ginets.viz.curves import curve, plot_learning_curve


HISTORY = [
    {"epoch": 1.0, "loss": 0.7}, {"epoch": 1.0, "eval_loss": 0.6, "eval_f1": 0.5},
    {"epoch": 2.0, "loss": 0.4}, {"epoch": 2.0, "eval_loss": 0.5, "eval_f1": 0.8}, {"epoch": 2.0, "train_loss": 0.55},
]  # fmt: skip


def test_curve_takes_its_own_entries_only():
    assert curve(HISTORY, "loss") == ([1.0, 2.0], [0.7, 0.4])
    assert curve(HISTORY, "eval_f1") == ([1.0, 2.0], [0.5, 0.8])
    assert curve(HISTORY, "eval_accuracy") == ([], [])


def test_picture_with_and_without_evaluation(tmp_path):
    for name, histories in (("two", {"a": HISTORY, "b": HISTORY[:2]}), ("train_only", {"a": HISTORY[:1]})):
        plot_learning_curve(histories, "f1", tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")

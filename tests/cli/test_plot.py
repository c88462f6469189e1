"""`ginets plot` on the files of runs: which pictures come, with what in them, and what is said about the rest."""

import json

import pytest

from ginets.cli import main
from ginets.cli.plot import choose_metric, draw_all
from ginets.cli.variants import read_variants


HISTORY = [
    {"epoch": 1.0, "loss": 0.7, "step": 10},
    {"epoch": 1.0, "eval_loss": 0.6, "eval_f1": 0.5, "eval_runtime": 1.0, "step": 10},
    {"epoch": 2.0, "loss": 0.4, "step": 20},
    {"epoch": 2.0, "eval_loss": 0.5, "eval_f1": 0.8, "eval_samples_per_second": 3.0, "step": 20},
]
LOG = "step,module,matrix\n60,bert.encoder.layer.1.output.dense,B\n90,bert.encoder.layer.0.output.dense,A\n"


@pytest.fixture
def run(tmp_path):
    """Writes a run's folder, with its files as far as given."""

    def write(name: str, history=None, results=None, freeze_log=None, place="."):
        folder = tmp_path / name
        (folder / place).mkdir(parents=True, exist_ok=True)
        if history is not None:
            (folder / place / "trainer_state.json").write_text(json.dumps({"log_history": history}))
        if results is not None:
            (folder / "all_results.json").write_text(json.dumps(results))
        if freeze_log is not None:
            (folder / "freeze_log.csv").write_text(freeze_log)
        return folder

    return write


def results(count: int, f1: float) -> dict:
    return {"trainable_parameters_without_head": count, "eval_f1": f1, "eval_accuracy": f1, "eval_loss": 1.0}


def pictures(folders, metric="f1"):
    return dict(draw_all({name: list(paths) for name, paths in folders.items()}, metric, "light"))


def test_all_pictures(run, tmp_path, capsys):
    one, two = run("lora1", HISTORY, results(100, 0.8)), run("lora2", HISTORY[:2], results(100, 0.9))
    flora = run("aflora", HISTORY, results(20, 0.7), LOG)
    bare = run("bare")
    arguments = ["plot", f"lora={one}", f"lora={two}", str(flora), str(bare), "--output-dir", str(tmp_path / "out")]
    assert main([*arguments, "--format", "png", "svg", "--background", "dark"]) == 0
    names = ("learning_curves", "parameters_and_score", "freeze_map_aflora")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{n}.{end}" for n in names for end in ("png", "svg")
    }
    printed = capsys.readouterr().out
    assert "learning curves: without bare (no trainer_state.json)\n" in printed
    assert "parameters and score: without bare (no all_results.json)\n" in printed
    assert f"freeze map: without {one}, {two}, bare (no freeze_log.csv)\n" in printed
    assert printed.count("\n") == 3 + 6


def test_pictures_stay_in_their_folder(run):
    drawn = pictures(
        {"../../evil": [run("one", HISTORY, freeze_log=LOG)], "a/b": [run("two", HISTORY, freeze_log=LOG)]}
    )
    assert [name for name in drawn if "freeze" in name] == ["freeze_map_evil", "freeze_map_a_b"]


def test_curves_of_seeds_share_name_and_colour(run):
    drawn = pictures({"a": [run("a1", HISTORY), run("a2", HISTORY[:2])], "b": [run("b", HISTORY)]})
    losses, scores = drawn["learning_curves"].axes
    lines = {}
    for line in scores.lines:
        lines.setdefault(line.get_color(), []).append(list(line.get_ydata()))
    assert list(lines.values()) == [[[0.5, 0.8], [0.5]], [[0.5, 0.8]]]
    shown = [text.get_text() for text in losses.get_legend().get_texts()]
    assert shown == ["a, training", "a, evaluation", "b, training", "b, evaluation"]
    assert list(drawn) == ["learning_curves"]


def test_the_latest_checkpoint_stands_in_for_a_running_training(run):
    folder = run("run", HISTORY[:2], place="checkpoint-9")
    run("run", HISTORY, place="checkpoint-20")
    run("run", HISTORY[:1], place="checkpoint-best")
    axes = pictures({"run": [folder]})["learning_curves"].axes[1]
    assert list(axes.lines[0].get_ydata()) == [0.5, 0.8]


def test_points_of_the_scatter(run):
    folders = {"a": [run("a", results=results(10, 0.5))], "head": [run("h", results=results(0, 0.1))]}
    axes = pictures(folders, "accuracy")["parameters_and_score"].axes[0]
    assert len(axes.containers) == 1 and list(axes.containers[0].lines[0].get_ydata()) == [0.5]


def test_choice_of_the_metric(run):
    first = run("a", HISTORY, {"eval_exact": 1, "eval_f1": 2, "eval_loss": 1, "eval_model_preparation_time": 1})
    runs = {"a": [first], "b": [run("b", HISTORY)]}
    assert choose_metric(runs, None) == "f1" and choose_metric(runs, "eval_exact") == "exact"
    assert choose_metric({"c": [run("c", HISTORY[:1])]}, None) is None
    with pytest.raises(ValueError, match="--metric is 'bleu'; these runs have exact, f1"):
        choose_metric(runs, "bleu")


@pytest.mark.parametrize("state,message", [
    (None, "there is nothing to draw"),
    ("{", "trainer_state.json: not valid JSON"),
    ("[]", "trainer_state.json: must hold an object"),
    ('{"log_history": 3}', "log_history must be a list of objects"),
    ('{"log_history": []}', "there is nothing to draw"),
])  # fmt: skip
def test_nothing_to_draw_and_broken_files(run, tmp_path, capsys, state, message):
    folder = run("run")
    if state:
        (folder / "trainer_state.json").write_text(state)
    with pytest.raises(SystemExit) as stopped:
        main(["plot", str(folder), "--output-dir", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_such_run(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plot", str(tmp_path / "none")])
    assert stopped.value.code == 2 and "none: there is no such folder" in capsys.readouterr().err


def test_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_variants(["a=x/1", "b", "a=x/2", "c/d/"]) == {"a": ["x/1", "x/2"], "b": ["b"], "d": ["c/d/"]}
    (tmp_path / "p=q").mkdir()
    assert read_variants(["p=q"]) == {"p=q": ["p=q"]}
    for wrong in (["x/best", "y/best"], ["x/best", "best=y"], ["best=y", "x/best"]):
        with pytest.raises(ValueError, match="two variants are called 'best'; write LABEL=PATH"):
            read_variants(wrong)
    for wrong in ("=a", "a="):
        with pytest.raises(ValueError, match=f"{wrong!r} has an empty label or path"):
            read_variants([wrong])

"""`ginets bench`: what it runs and in which order, and what it finds before the first run."""

import json
from types import SimpleNamespace

import pytest

from ginets.bench.checks import check_data
from ginets.bench.report import as_markdown
from ginets.bench.results import Results
from ginets.cli import bench, bench_actions
from ginets.recipes import arguments
from ginets.recipes.recipe_files import ArgumentsError
from tests import tiny
from tests.bench.boards import CONTENT, changed, record, score_of, write, write_data


pytest.importorskip("scipy")


def test_runs_of_two_base_models_are_not_mixed(results, tmp_path):
    data = write_data(tmp_path / "data")
    with pytest.raises(
        ArgumentsError, match="has runs of the base model 'Some/Base', and this is 'Other/Base'; give another"
    ):
        bench_actions.check(
            bench_actions.open_results(tmp_path / "leaderboard.yaml", [f"glue={data}"], "Other/Base", "tiny")
        )
    cell = results.leaderboard.task(results.folder, "rte", results.rates).cells[0]
    other = record(cell, 0.5, "accuracy") | {"command": "python -m ginets.cli glue --model_name_or_path 'Other/Base'"}
    results.store.save(cell, other)
    with pytest.raises(ArgumentsError, match="has runs of several base models: Other/Base, Some/Base"):
        as_markdown(Results(results.leaderboard, results.folder))


def test_verbs(results, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    file = tmp_path / "leaderboard.yaml"
    bench.status(file, name="tiny")
    assert "tuning on cola: 6 of 6 runs\ncola, seed 1: 3 of 3 runs" in capsys.readouterr().out
    bench.status(file, name="tiny", json=True)
    state = json.loads(capsys.readouterr().out)
    assert state["tuning"] == {"task": "cola", "done": 6, "runs": 6}
    assert state["tasks"][0] == {"task": "cola", "seed": 1, "done": 3, "runs": 3}
    for verb in (bench.status, bench.report):
        with pytest.raises(ArgumentsError, match="other is not there; give the --name or the --base of runs"):
            verb(file, name="other")
    bench.report(file, name="tiny")
    folder = results.folder
    assert (folder / "RESULTS.md").read_text() == as_markdown(results)
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {"scores.png", "minus_lora.png", "minus_full.png", "parameters.png"}


def test_run_tunes_first_and_takes_the_chosen_rates(tmp_path, monkeypatch):
    """Runs are pretended; which ones, and in which order, is not."""
    done = []

    def pretend(sweep, store, options, cells):
        for cell in cells:
            done.append(cell)
            store.save(cell, record(cell, score_of(cell), CONTENT["tasks"][cell.arguments["task_name"]]["metric"]))
        return 0

    monkeypatch.setattr(bench_actions, "do", pretend)
    monkeypatch.setattr(bench_actions, "check_methods", lambda board: None)  # there is no base model
    file, data = write(tmp_path), tmp_path / "data"
    options = SimpleNamespace(workers=1, threads=1, retries=0, ray=None)
    found = bench_actions.open_results(file, [f"glue={data}"], "Some/Base-Model", None, ["rte"])
    assert found.folder == tmp_path / "base-model" and found.leaderboard.tasks["rte"].places == {"glue_dir": str(data)}
    with pytest.raises(ArgumentsError, match=r"`tasks.cola.places.glue_dir` is '.*/data/all', which is no file"):
        bench_actions.run_all(found, options)
    write_data(data)
    assert not done and bench_actions.run_all(found, options) == 0
    assert [cell.seed for cell in done] == [100] * 6 + [1] * 3 + [2] * 3 + [3] * 3
    assert {cell.variant["method"]: cell.arguments["learning_rate"] for cell in done[6:]} == found.rates
    assert {cell.places["model_name_or_path"] for cell in done} == {"Some/Base-Model"}


@pytest.mark.parametrize(("given", "warned"), [("bf16=true", True), ("bf16=false", False)])
def test_bfloat16_that_is_slow_is_warned_of_before_the_first_run(tmp_path, monkeypatch, caplog, given, warned):
    monkeypatch.setattr(arguments, "emulates_bfloat16", lambda: True)
    monkeypatch.setattr(arguments.logger, "propagate", True)
    data, base = write_data(tmp_path / "data"), tmp_path / "base"
    tiny.stock_backbone_class("bert_gi")(tiny.stock_config("bert_gi")).save_pretrained(base)
    file = write(tmp_path, **changed("places.bf16", True))
    with caplog.at_level("WARNING", logger=arguments.logger.name):
        bench_actions.check(bench_actions.open_results(file, [f"glue={data}", given], str(base), "tiny"))
    assert ("this processor has no bfloat16" in caplog.text) == warned


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("tasks.rte.arguments", {"task_name": "rte", "sped": 1}, "rte.*unknown arguments: --sped"),
        ("arguments.do_sing", True, "cola.*unknown arguments: --do_sing"),
        ("methods.ina.arguments.target_modules", ["nose"], "methods.ina: the adapter does not fit .*nose"),
        ("methods.ina.arguments.adapter_inhibition_level", 1.5, "methods.ina: .*inhibition_level.* 1.5"),
        (
            "methods.full.arguments",
            {"gi_key_side": True, "inhibition_level": 7},
            "methods.full: .*inhibition_level.* 7",
        ),
        ("places.model_name_or_path", "nowhere/none", "methods.full: no config at 'nowhere/none'"),
    ],
)
def test_what_runs_would_fail_at_is_found_before_the_first(tmp_path, monkeypatch, path, value, says):
    """Of all tasks and methods, also those whose turn would come hours later."""
    monkeypatch.setattr(bench_actions, "do", lambda *_: pytest.fail("a run was begun"))
    data, base = write_data(tmp_path / "data"), tmp_path / "base"
    tiny.stock_backbone_class("bert_gi")(tiny.stock_config("bert_gi")).save_pretrained(base)
    content = changed("places.model_name_or_path", str(base))
    *parents, last = path.split(".")
    at = content
    for name in parents:
        at = at.setdefault(name, {})
    at[last] = value
    found = bench_actions.open_results(write(tmp_path, **content), [f"glue={data}"], None, "tiny")
    with pytest.raises(ArgumentsError, match=says):
        bench_actions.run_all(found, SimpleNamespace(workers=1, threads=1, retries=0, ray=None))


def test_data_is_read_before_the_first_run(tmp_path):
    """Also that of the last task: a set that is missing, a metric that files do not have."""
    data, base = write_data(tmp_path / "data"), tmp_path / "base"
    tiny.stock_backbone_class("bert_gi")(tiny.stock_config("bert_gi")).save_pretrained(base)

    def check(chosen=None):
        bench_actions.check(bench_actions.open_results(write(tmp_path), [f"glue={data}"], str(base), "tiny", chosen))

    check()
    scores = tmp_path / "scores.csv"
    scores.write_text("text,label\na,0.5\nb,1.25\n")
    with pytest.raises(ArgumentsError, match=r"tasks.mine: metric is 'accuracy'; allowed: pearson, spearmanr"):
        check([f"mine={scores},{scores}"])
    (data / "RTE/dev.tsv").unlink()
    with pytest.raises(ArgumentsError, match=r"tasks.rte: .*RTE"):
        check()


@pytest.mark.parametrize(("metric", "says"), [("exact", "'exact'; allowed: f1, exact_match"), ("f1", None)])
def test_figures_of_questions_depend_on_their_answers(tmp_path, metric, says):
    """By the rules of SQuAD 2.0 there are others; and they are percentages already."""
    base = tmp_path / "base"
    tiny.stock_backbone_class("bert_gi")(tiny.stock_config("bert_gi")).save_pretrained(base)
    answer = {"text": "cat", "answer_start": 4}
    entry = {"context": "The cat sat.", "qas": [{"id": "1", "question": "Who sat?", "answers": [answer]}]}
    file = tmp_path / "squad.json"
    file.write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": [entry]}]}))
    places = {"train_file": str(file), "validation_file": str(file)}
    content = changed("tasks", {"squad": {"command": "squad", "metric": metric, "places": places}})
    content["tuning"] = {"task": "squad", "seeds": [100]}
    found = bench_actions.open_results(write(tmp_path, **content), None, str(base), "tiny")
    assert found.leaderboard.tasks["squad"].scale == 1
    if not says:
        check_data(found.leaderboard)
        return
    with pytest.raises(ArgumentsError, match=says):
        check_data(found.leaderboard)

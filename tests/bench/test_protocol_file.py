"""The file of a leaderboard: its runs, tasks that are asked for, and what is wrong with it."""

import json

import pytest

from ginets.bench.definition import Task
from ginets.bench.protocol import load
from ginets.bench.results import ALL_TASKS, Results
from ginets.cli import bench
from ginets.recipes.recipe_files import ArgumentsError
from tests.bench.boards import CONTENT, changed, record, score_of, write


yaml = pytest.importorskip("yaml")
pytest.importorskip("scipy")


def test_cells(tmp_path):
    board = load(write(tmp_path), {"glue": "elsewhere"})
    tuning = board.tuning(tmp_path).cells
    assert len(tuning) == 6 and {cell.seed for cell in tuning} == {100}
    assert all(cell.arguments["holdout"] == 0.1 and cell.places["glue_dir"] == "elsewhere/all" for cell in tuning)
    cells = board.task(tmp_path, "rte", {"full": 1e-4, "lora": 1e-3, "ina": 1e-2}).cells
    assert [(cell.seed, cell.variant["method"]) for cell in cells[:4]] == [
        (1, "full"), (1, "lora"), (1, "ina"), (2, "full")
    ]  # fmt: skip
    assert not any("holdout" in cell.arguments for cell in cells)
    assert [cell.arguments["learning_rate"] for cell in cells[:3]] == [1e-4, 1e-3, 1e-2]
    assert len({cell.key for cell in [*tuning, *cells]}) == len(tuning) + len(cells)


def test_tasks_that_the_file_does_not_have(results, tmp_path, capsys):
    """One of GLUE and one of files, run and reported like the others, and alone where they are asked for alone."""
    words = ["qqp", "mine=train.csv,dev.csv", "rte"]
    board = load(tmp_path / "leaderboard.yaml", {"glue": "data"}, words)
    assert board.selected == ["qqp", "mine", "rte"] and [*board.tasks] == ["cola", "rte", "qqp", "mine"]
    assert board.tasks["qqp"] == Task("qqp", "glue", "accuracy", {"task_name": "qqp"}, {"glue_dir": "data"})
    files = {"train_file": "train.csv", "validation_file": "dev.csv"}
    assert board.tasks["mine"] == Task("mine", "glue", "accuracy", {"run_name": "mine"}, files)
    both = load(tmp_path / "leaderboard.yaml", None, ["mine=a.csv,b.csv", "yours=a.csv,b.csv"])
    keys = [{cell.key for cell in both.task(tmp_path, name, results.rates).cells} for name in both.selected]
    assert not keys[0] & keys[1] and len(keys[0] | keys[1]) == 18
    for task in words[:2]:
        for cell in board.task(results.folder, task.partition("=")[0], results.rates).cells:
            results.store.save(cell, record(cell, score_of(cell), "accuracy"))
    bench.status(tmp_path / "leaderboard.yaml", name="tiny", tasks=words, json=True)
    assert [each["task"] for each in json.loads(capsys.readouterr().out)["tasks"]] == [
        "qqp", "qqp", "qqp", "mine", "mine", "mine", "rte", "rte", "rte"
    ]  # fmt: skip
    assert [column.task for column in Results(board, results.folder).columns] == ["qqp", "mine", "rte", ALL_TASKS]
    board = load(tmp_path / "leaderboard.yaml", None, ["mine=train.csv,dev.csv"])
    assert [column.task for column in Results(board, results.folder).columns] == ["mine"]
    assert [column.task for column in results.columns] == ["cola", "rte", ALL_TASKS]


@pytest.mark.parametrize(
    "word", ["imdb", "mine=", "mine=train.csv", "=a,b", "mine=,dev.csv", "rte=a.csv,b.csv", "cola="]
)
def test_tasks_that_do_not_exist(tmp_path, word):
    with pytest.raises(
        ArgumentsError, match=rf"--tasks has '{word}'; allowed: cola, rte, sst2, .*wnli, or NEW_NAME=TRAIN"
    ):
        load(write(tmp_path), None, [word])


def test_glue_task_without_its_folder(tmp_path):
    file = write(tmp_path, folders={}, tasks={"cola": CONTENT["tasks"]["cola"] | {"places": {}}})
    with pytest.raises(
        ArgumentsError, match=r"`tasks.qnli.places.glue_dir` is '\{glue\}'; allowed in braces: nothing"
    ):
        load(file, None, ["qnli"])


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("methods.lora.rates", [1e-3], "different lengths"),
        ("methods.lora.rates", [1e-2, 1e-3], "the smallest first"),
        ("methods.lora.rates", ["1e-3", 1], "learning rates above 0"),
        ("methods.lora.speed", 1, "methods.lora.speed is no field"),
        ("methods.lora.arguments", {"learning_rate": 1}, "leave it out: it is chosen from `rates`"),
        ("tuning.seeds", [100, 1], "`tuning.seeds` has 1, which is reported"),
        ("tuning.task", "sst2", "`tuning.task` is 'sst2'; allowed: cola, rte"),
        ("tasks.cola.command", "fly", "`tasks.cola.command` is 'fly'; allowed: glue"),
        ("tasks.cola.command", "train nlg", "`tasks.cola.command` is 'train nlg'; allowed: glue, squad"),
        (
            "tasks.cola",
            {"command": "squad", "metric": "accuracy"},
            "`tasks.cola.metric` is 'accuracy'; allowed: f1, exact_match",
        ),
        ("tasks.cola.metric", "matthews", "`tasks.cola.metric` is 'matthews'; allowed: matthews_correlation"),
        (
            "tasks.rte.arguments",
            {"task_name": "cola"},
            "`tasks.rte.metric` is 'accuracy'; allowed: matthews_correlation",
        ),
        ("tasks.rte", CONTENT["tasks"]["cola"], "`tasks.rte` has the arguments of cola; allowed: another `run_name`"),
        (
            "methods.ina",
            CONTENT["methods"]["lora"],
            "`methods.lora` has the arguments of ina; allowed: other arguments",
        ),
        ("places", {"use_cpu": True}, "`places.model_name_or_path` is missing"),
        ("baselines", [], "`baselines` is []; allowed: a list of full, ina, lora"),
        ("tasks.cola.scale", 0, "`tasks.cola.scale` is 0"),
        ("baselines", ["vera"], "`baselines` has 'vera'"),
        ("seeds", [1, 1], "`seeds` is [1, 1]"),
        ("methods", [], "`methods` is []; allowed: a mapping"),
        ("colour", "red", "colour is no field"),
        ("folders", [], "`folders` is []; allowed: a mapping"),
        (
            "tasks.rte.places",
            {"glue_dir": "{data}/x"},
            "`tasks.rte.places.glue_dir` is '{data}/x'; allowed in braces: glue",
        ),
        ("tasks.rte.places", {"glue_dir": "{}"}, "`tasks.rte.places.glue_dir` is '{}'"),
    ],
)
def test_bad_protocols(tmp_path, path, value, says):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(changed(path, value)))
    with pytest.raises(ArgumentsError) as caught:
        load(file)
    assert says in str(caught.value) and str(file) in str(caught.value)


def test_place_that_does_not_exist(tmp_path):
    with pytest.raises(ArgumentsError, match="'squad_dir' is no place; allowed: model_name_or_path, glue"):
        load(write(tmp_path), {"squad_dir": "x"})

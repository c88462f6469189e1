"""Leaderboards: the protocol file, the choice of rates, whole tasks only, the report, the verb."""

import csv
import json
import re
import statistics
from types import SimpleNamespace

import pytest

from ginets.bench.definition import Task
from ginets.bench.protocol import load
from ginets.bench.report import as_csv, as_markdown, spell_tuned, tuning_table
from ginets.bench.results import ALL_TASKS, Results
from ginets.cli import bench, bench_actions
from ginets.recipes.recipe_files import ArgumentsError
from tests import tiny


yaml = pytest.importorskip("yaml")
pytest.importorskip("scipy")
SEEDS = [1, 2, 3]
CONTENT = {
    "title": "A test",
    "places": {"model_name_or_path": "MODEL"},
    "folders": {"glue": "GLUE"},
    "arguments": {"do_train": True, "do_eval": True, "use_cpu": True},
    "seeds": SEEDS,
    "baselines": ["lora", "full"],
    "tuning": {"task": "cola", "seeds": [100], "arguments": {"holdout": 0.1}},
    "tasks": {
        "cola": {
            "command": "glue",
            "metric": "matthews_correlation",
            "arguments": {"task_name": "cola"},
            "places": {"glue_dir": "{glue}/all"},
        },
        "rte": {
            "command": "glue",
            "metric": "accuracy",
            "arguments": {"task_name": "rte"},
            "places": {"glue_dir": "{glue}"},
        },
    },
    "methods": {
        "full": {"rates": [1e-5, 1e-4], "note": "everything"},
        "lora": {"rates": [1e-3, 1e-2], "arguments": {"adapter": "lora", "r": 2, "target_modules": ["query"]}},
        "ina": {"rates": [1e-3, 1e-2], "arguments": {"adapter": "ina", "r": 2, "target_modules": ["query"]}},
    },
}
# method → score of seed 1 on a task; those of later seeds are a little lower
SCORES = {"full": 0.70, "lora": 0.75, "ina": 0.60}


def write_data(folder):
    """Both tasks in GLUE's own files; CoLA lies deeper."""
    for split in ("train", "dev"):
        (folder / "all/CoLA").mkdir(parents=True, exist_ok=True)
        (folder / "RTE").mkdir(exist_ok=True)
        lines = [f"s\t{at % 2}\t\tThe cat sat {at} times.\n" for at in range(20)]
        (folder / f"all/CoLA/{split}.tsv").write_text("".join(lines))
        lines = [f"{at}\tA cat.\tA dog.\t{'not_' * (at % 2)}entailment\n" for at in range(20)]
        (folder / f"RTE/{split}.tsv").write_text("index\tsentence1\tsentence2\tlabel\n" + "".join(lines))
    return folder


def write(folder, **changes):
    file = folder / "leaderboard.yaml"
    file.write_text(yaml.safe_dump(CONTENT | changes, sort_keys=False))
    return file


def record(cell, score, metric):
    figures = {
        f"eval_{metric}": score, "trainable_parameters_without_head": 100, "train_runtime": 5.0,
    }  # fmt: skip
    return {
        "key": cell.key, "figures": figures, "seconds": 9.0, "peak_memory_mib": 700, "saved_mib": 0.5,
        "versions": {"torch": "2"}, "hardware": {"cpu": "c"}, "git_commit": "abc",
        "command": "python -m ginets.cli glue --model_name_or_path Some/Base",
    }  # fmt: skip


def score_of(cell):
    """What a pretended run gives: in the tuning the larger rate is better, but for LoRA."""
    method = cell.variant["method"]
    if "learning_rate" in cell.variant:
        return float(cell.arguments["learning_rate"]) * (-1 if method == "lora" else 1)
    wobble = {"full": 0.01, "lora": 0.012, "ina": 0.009}[method]
    return SCORES[method] - wobble * (cell.seed - 1)


def fill(results, cells, task):
    for cell in cells:
        results.store.save(cell, record(cell, score_of(cell), CONTENT["tasks"][task]["metric"]))


@pytest.fixture
def results(tmp_path):
    """A tuned leaderboard with all of CoLA and RTE."""
    found = Results(load(write(tmp_path)), tmp_path / "tiny")
    fill(found, found.leaderboard.tuning(found.folder).cells, "cola")
    for task in found.leaderboard.tasks:
        fill(found, found.leaderboard.task(found.folder, task, found.rates).cells, task)
    return found


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


def test_rates_are_those_of_the_best_score(results):
    assert results.rates == {"full": 1e-4, "lora": 1e-3, "ina": 1e-2}


def test_diverged_tuning_is_the_worst(results):
    cell = next(
        each for each in results.leaderboard.tuning(results.folder).cells
        if each.variant == {"method": "ina", "task": "cola", "learning_rate": "0.01"}
    )  # fmt: skip
    results.store.save(cell, record(cell, float("nan"), "matthews_correlation"))
    assert Results(results.leaderboard, results.folder).rates["ina"] == 1e-3


@pytest.mark.parametrize(
    ("losses", "chosen"), [((0.5, 0.4), 1e-2), ((0.4, 0.5), 1e-3), ((0.4, 0.4), 1e-3), ((float("nan"), 0.6), 1e-2)]
)
def test_equal_scores_are_told_apart_by_loss(results, losses, chosen):
    """Runs that answer the same to every row have equal scores; what they have learnt shows in the loss."""
    cells = [each for each in results.leaderboard.tuning(results.folder).cells if each.variant["method"] == "lora"]
    for cell, loss in zip(cells, losses, strict=True):
        made = record(cell, 0.0, "matthews_correlation")
        results.store.save(cell, made | {"figures": made["figures"] | {"eval_loss": loss}})
    found = Results(results.leaderboard, results.folder)
    assert found.rates["lora"] == chosen
    shown = ["diverged" if loss != loss else f"0.0 ({loss:.3f})" for loss in losses]
    assert f"| lora | 0.001: {shown[0]} | 0.01: {shown[1]} | {chosen:g} |" in tuning_table(found)


def test_a_run_that_diverged_is_the_worst_whatever_its_score(results):
    """Logits that are no numbers give every row the first class: a score of 0, above one of a healthy run below 0."""
    cells = [each for each in results.leaderboard.tuning(results.folder).cells if each.variant["method"] == "lora"]
    for cell, (score, loss) in zip(cells, ((-0.01, 0.6), (0.0, float("nan"))), strict=True):
        made = record(cell, score, "matthews_correlation")
        results.store.save(cell, made | {"figures": made["figures"] | {"eval_loss": loss}})
    assert Results(results.leaderboard, results.folder).rates["lora"] == 1e-3


def test_tuning_table_has_means_over_the_seeds():
    assert spell_tuned(1e-3, [(0.1, -0.5), (0.3, -0.7)], 100) == "0.001: 20.0 (0.600)"
    assert spell_tuned(1e-3, [(0.1, -0.5), (float("-inf"), float("-inf"))], 100) == "0.001: diverged"


def test_score_comes_before_loss(results):
    cells = [each for each in results.leaderboard.tuning(results.folder).cells if each.variant["method"] == "lora"]
    for cell, (score, loss) in zip(cells, ((0.2, 0.9), (0.1, 0.1)), strict=True):
        made = record(cell, score, "matthews_correlation")
        results.store.save(cell, made | {"figures": made["figures"] | {"eval_loss": loss}})
    assert Results(results.leaderboard, results.folder).rates["lora"] == 1e-3


def test_columns_by_hand(results):
    """The mean over tasks is that of equal scores; differences are paired by seed."""
    assert [column.task for column in results.columns] == ["cola", "rte", ALL_TASKS]
    for column in results.columns:
        lora, ina = ([100 * (SCORES[m] - w * k) for k in range(3)] for m, w in (("lora", 0.012), ("ina", 0.009)))
        assert list(column.scores["lora"]) == pytest.approx(lora)
        gaps = [a - b for a, b in zip(ina, lora, strict=True)]
        found = column.differences("lora")
        assert found.keys() == {"full", "ina"} and found["ina"].mean.value == pytest.approx(statistics.fmean(gaps))
        half = 4.302653 * statistics.stdev(gaps) / 3**0.5
        assert found["ina"].mean.half == pytest.approx(half, rel=1e-6)
        assert found["ina"].p == pytest.approx(min(1, 2 * found["ina"].mean.p)) and found["ina"].shown


def test_only_whole_tasks_are_reported(results):
    board, folder = results.leaderboard, results.folder
    cells = board.task(folder, "rte", results.rates).cells
    results.store.record_file(next(cell for cell in cells if cell.seed == 2)).unlink()
    found = Results(board, folder)
    assert [list(column.seeds) for column in found.columns] == [[1, 2, 3], [1, 3], [1, 3]]
    results.store.record_file(next(cell for cell in cells if cell.seed == 3)).unlink()
    assert [column.task for column in Results(board, folder).columns] == ["cola"]


def test_report(results):
    costs = {
        "methods": {"ina": {"step_ratio": 1.25}},
        "rounds": 5,
        "length": 12,
        "hardware": {"cpu": "d", "threads": 1},
    }
    text = as_markdown(results, costs)
    assert text.startswith("# A test\n\nBase model: Some/Base. Made by") and "Diverged" not in text
    assert (
        "\nVersions: torch 2.\n* tuning: 6 runs, 0.0 hours of processes, on: cpu c. Commits: abc.\n* cola: 9 runs"
        in text
    )
    assert "in 5 rounds with 12 tokens in each text" in text and "on: cpu d, threads 1." in text
    assert "chosen on a held-out part of the training set of cola with seed 100" in text
    assert "## cola: matthews_correlation, seeds 1, 2, 3" in text and "* full: everything" in text
    lora = 100 * (0.75 - 0.012)
    assert f"| lora | {' | '.join([f'{lora:.1f} ± 3.0'] * 3)} |" in text  # no difference to itself
    line = next(line for line in text.splitlines() if line.startswith("| lora | 7") and "," in line)
    assert line.startswith(f"| lora | {lora:.1f} ± ") and "| 75.0, 73.8, 72.6 |" in line and "−" not in line
    assert (
        "## At a glance: scores, and in brackets their difference to lora\n\n|  | cola | rte | all tasks |\n" in text
    )
    glance = next(line for line in text.splitlines() if line.startswith("| ina | 5"))
    half = 4.302653 * 0.3 / 3**0.5  # the gaps are 0.3 apart
    assert glance.split(" | ")[1].endswith(f" (**-14.7 ± {half:.1f}**)") and glance.count("**") == 6
    bold = next(line for line in text.splitlines() if line.startswith("| ina | 5") and "(p " in line)
    assert re.search(r"\*\*-14\.7 ± \d\.\d \(p .*\)\*\*", bold)
    assert "| ina | 0.01 (edge) | 100 | 1.25 | 5 | 700 | 0.50 |" in text
    assert "## Tuning\n\n|  | rate 1 | rate 2 | chosen |\n" in text
    assert "| lora | 0.001: -0.1 | 0.01: -1.0 | 0.001 |" in text and "| ina | 0.001: 0.1 | 0.01: 1.0 | 0.01 |" in text
    rows = list(csv.DictReader(as_csv(results).splitlines()))
    assert len(rows) == 3 * 2 * 3
    row = next(each for each in rows if (each["method"], each["baseline"]) == ("full", "lora"))
    assert float(row["difference"]) == pytest.approx(100 * (0.70 - 0.75 + 0.002))
    assert as_markdown(Results(results.leaderboard, results.folder), costs) == text


def test_the_report_says_what_is_not_as_it_should_be(results, tmp_path):
    """A run that diverged, a checkout with changes, rates that were chosen on what is reported."""
    cells = results.leaderboard.task(results.folder, "rte", results.rates).cells
    made = record(cells[0], 0.5, "accuracy") | {"git_commit": "0123456789abcdef+"}
    results.store.save(cells[0], made | {"figures": made["figures"] | {"eval_loss": float("nan")}})
    text = as_markdown(Results(results.leaderboard, results.folder))
    assert "**Diverged, though they have a score: full on rte with seed 1.**" in text
    assert (
        "* rte: 9 runs, 0.0 hours of processes, on: cpu c. Commits: 0123456789ab+, abc." in text
        and "tokens in each text" not in text
    )
    board = load(write(tmp_path, tuning={"task": "cola", "seeds": [100]}))
    found = Results(board, tmp_path / "other")
    fill(found, board.tuning(found.folder).cells, "cola")
    fill(found, board.task(found.folder, "cola", found.rates).cells, "cola")
    assert "chosen on the development set of cola with seed 100" in as_markdown(found)


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


def test_report_before_the_end(tmp_path):
    found = Results(load(write(tmp_path)), tmp_path / "tiny")
    with pytest.raises(ArgumentsError, match="the tuning of full is not finished"):
        as_markdown(found)


def changed(path, value):
    """CONTENT with another value at a place such as `methods.lora.rates`."""
    content = json.loads(json.dumps(CONTENT))
    *parents, last = path.split(".")
    at = content
    for name in parents:
        at = at[name]
    at[last] = value
    return content


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

"""From runs to a report: the choice of rates, whole tasks only, scores, differences, what it says."""

import csv
import re
import statistics
from types import SimpleNamespace

import pytest

from ginets.bench.protocol import load
from ginets.bench.report import as_csv, as_markdown, correction, spell, spell_tuned, tuning_table
from ginets.bench.results import ALL_TASKS, Column, Results
from ginets.metrics.intervals import mean_interval
from ginets.recipes.recipe_files import ArgumentsError
from tests.bench.boards import SCORES, fill, record, score_of, write


pytest.importorskip("scipy")


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
        "precision": "bf16",
    }
    text = as_markdown(results, costs)
    assert text.startswith("# A test\n\nBase model: Some/Base. Made by") and "**" not in text.split("\n\n")[2]
    assert (
        "\nVersions: torch 2.\n* tuning: 6 runs, 0.0 hours of processes, on: cpu c, fp32. Commits: abc.\n* cola: 9 runs"
        in text
    )
    assert "in 5 rounds with 12 tokens in each text" in text and "on: cpu d, threads 1, bf16." in text
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


def test_what_a_correction_over_the_whole_report_leaves():
    """By hand: t tests of three values give p 0.0027, 0.035 and 0.53; alone in their columns two pass, times 3 and 2 one."""
    gaps = {"a": [10, 11, 12], "b": [1, 1.5, 2], "c": [-1, 2, 1]}
    columns = [Column(task, "f1", (1, 2, 3), {"lora": [0, 0, 0], "x": found}) for task, found in gaps.items()]
    assert correction(SimpleNamespace(columns=columns, leaderboard=SimpleNamespace(baselines=["lora"]))) == (
        "Of the 3 differences in the tables, 2 are bold; corrected over all of them together, 1 would be."
    )


def test_a_narrow_interval_is_not_spelled_as_none():
    assert spell(mean_interval([0.30, 0.31, 0.32]), "+") == "+0.31 ± 0.02"  # 4.303 · 0.01 / √3
    assert (
        spell(mean_interval([0.2, 0.2, 0.2])) == "0.2 ± 0.0" and spell(mean_interval([0.2, 0.3, 0.4])) == "0.3 ± 0.2"
    )


def test_costs_are_those_of_one_task(results):
    """Others take other times, and the machine may have been another one."""
    for cell in results.leaderboard.task(results.folder, "rte", results.rates).cells:
        results.store.save(cell, record(cell, score_of(cell), "accuracy") | {"peak_memory_mib": 9000})
    found = Results(results.leaderboard, results.folder)
    assert found.records["rte"][1]["ina"]["peak_memory_mib"] == 9000
    assert found.cost("ina", "peak_memory_mib") == 700


def test_the_report_says_what_was_computed_in_which_precision(results):
    """It is no part of what a run is, so that machines with and without bfloat16 take part; to compare them is another matter."""
    cells = results.leaderboard.task(results.folder, "rte", results.rates).cells
    for cell in cells:
        in_bf16 = cell.seed == 1 or (cell.seed == 3 and cell.variant["method"] == "ina")
        made = record(cell, score_of(cell), "accuracy")
        command = f"{made['command']} --bf16 {in_bf16}"
        results.store.save(cell, made | {"command": command})
    text = as_markdown(Results(results.leaderboard, results.folder))
    assert " **Methods differ in precision: rte with seed 3.**\n* tuning: " in text  # not seed 1, nor seed 2
    assert "* rte: 9 runs, 0.0 hours of processes, on: cpu c, bf16; or cpu c, fp32. Commits" in text
    assert "* cola: 9 runs, 0.0 hours of processes, on: cpu c, fp32. Commits" in text


def test_the_report_says_what_is_not_as_it_should_be(results, tmp_path):
    """A run that diverged, a checkout with changes, rates that were chosen on what is reported."""
    cells = results.leaderboard.task(results.folder, "rte", results.rates).cells
    made = record(cells[0], 0.5, "accuracy") | {"git_commit": "0123456789abcdef+"}
    results.store.save(cells[0], made | {"figures": made["figures"] | {"eval_loss": float("nan")}})
    text = as_markdown(Results(results.leaderboard, results.folder))
    assert "**Diverged, though they have a score: full on rte with seed 1.**" in text
    assert (
        "* rte: 9 runs, 0.0 hours of processes, on: cpu c, fp32. Commits: 0123456789ab+, abc." in text
        and "tokens in each text" not in text
    )
    board = load(write(tmp_path, tuning={"task": "cola", "seeds": [100]}))
    found = Results(board, tmp_path / "other")
    fill(found, board.tuning(found.folder).cells, "cola")
    fill(found, board.task(found.folder, "cola", found.rates).cells, "cola")
    assert "chosen on the development set of cola with seed 100" in as_markdown(found)


def test_report_before_the_end(tmp_path):
    found = Results(load(write(tmp_path)), tmp_path / "tiny")
    with pytest.raises(ArgumentsError, match="the tuning of full is not finished"):
        as_markdown(found)

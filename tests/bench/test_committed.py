"""The results in the repository: cells are what their keys say, and the report is what they make."""

import json
import re
import statistics
from pathlib import Path

import pytest

from ginets.bench.protocol import load
from ginets.bench.report import as_csv, as_markdown
from ginets.bench.results import Results, precision_of
from ginets.recipes.recipe_files import ArgumentsError
from ginets.sweep.grid import Cell
from ginets.sweep.grid import load as load_sweep
from ginets.sweep.store import Store
from ginets.sweep.table import as_text, summarise


pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FIRST_ROUND = ROOT / "benchmarks/frozen_pooler"
FOLDERS = sorted(path.parent for path in (ROOT / "benchmarks").glob("*/*/cells"))  # beside a leaderboard.yaml
SWEEPS = sorted(path.parent for path in (ROOT / "benchmarks").glob("*/sweep.yaml"))


def named(folder: Path) -> str:
    return str(folder.relative_to(ROOT / "benchmarks"))


def section_of(heading: str) -> str:
    """The part of the evidence whose heading begins so."""
    section = (
        (ROOT / "docs/evidence.md").read_text(encoding="utf-8").partition(f"\n## {heading}")[2].partition("\n## ")[0]
    )
    assert section
    return section


@pytest.mark.parametrize("folder", FOLDERS + SWEEPS, ids=named)
def test_cells_are_what_their_keys_say(folder):
    """A changed definition is another cell, never an edited one."""
    files = sorted((folder / "cells").iterdir())
    assert files and {file.suffix for file in files} <= {".json", ".log"}  # a log: a run that has not ended
    files = [file for file in files if file.suffix == ".json"]
    for file in files:
        record = json.loads(file.read_text())
        verb = record["command"].removeprefix("python -m ginets.cli ").partition(" --")[0]
        cell = Cell(verb, record["variant"], record["seed"], record["arguments"])
        assert file.stem == f"{cell.label}-{cell.key}" and record["key"] == cell.key
        assert {"versions", "hardware", "git_commit", "seconds", "figures"} <= record.keys()
        assert record["command"].split()[-2:] == ["--seed", str(record["seed"])]
        assert not any(word.startswith("/") for word in record["command"].split())  # no paths of a machine
        assert len(record["git_commit"]) == 40  # of a checkout without changes


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_report_is_what_the_cells_make(folder):
    pytest.importorskip("scipy")
    results = Results(load(folder.parent / "leaderboard.yaml"), folder)
    try:
        results.columns  # noqa: B018
    except ArgumentsError:  # no task is whole yet
        assert not (folder / "RESULTS.md").exists()
        return
    costs = folder / "costs.json"
    measured = json.loads(costs.read_text()) if costs.is_file() else {}
    assert (folder / "RESULTS.md").read_text() == as_markdown(results, measured)
    assert (folder / "results.csv").read_text() == as_csv(results)


@pytest.mark.parametrize("folder", SWEEPS, ids=named)
def test_table_is_what_the_cells_make(folder):
    sweep = load_sweep(folder / "sweep.yaml")
    records = [(cell, Store(folder).record(cell)) for cell in sweep.cells]
    assert all(record for _, record in records)
    assert (folder / "table.txt").read_text() == as_text(summarise(records, sweep.metrics)) + "\n"


@pytest.mark.parametrize(
    ("heading", "folder"), [("The leaderboard", ROOT / "benchmarks/leaderboard"), ("The first round", FIRST_ROUND)]
)
def test_evidence_quotes_the_report(heading, folder):
    """What the documentation has of the methods' scores are the first tables of the report, whole and in order."""
    methods, report = load(folder / "leaderboard.yaml").methods, folder / "minilm/RESULTS.md"

    def tables(text):
        """Those with a row for each method, their columns' names as plain words."""
        blocks = [block.splitlines() for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
        return [
            [head.lower().replace("_", " ").replace("|  |", "| |"), *rows]
            for head, _, *rows in blocks
            if [row.split()[1] for row in rows] == [*methods]
        ]

    section = section_of(heading)
    quoted = tables(section)
    assert bool(quoted) == report.exists()
    assert not quoted or quoted == tables(report.read_text(encoding="utf-8"))[: len(quoted)]
    named = [line for line in section.splitlines() if line.startswith("| ") and line.split()[1] in methods]
    assert len(named) == len(quoted) * len(methods)  # none outside these tables


@pytest.mark.parametrize("page", ["ina", "mtlora", "sora", "aflora"])
def test_pages_of_methods_quote_the_report(page):
    """Their scores on CoLA are those of the report: LoRA's and all of the method's with inhibition."""
    text = (ROOT / f"docs/methods/{page}.md").read_text(encoding="utf-8").partition("On CoLA (")[2].replace("\n", " ")
    report = (ROOT / "benchmarks/leaderboard/minilm/RESULTS.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in report.partition("## cola")[2].partition("\n## ")[0].splitlines()]
    names = [row[0].removeprefix("| ") for row in rows]
    methods = [name for name in names if name == page or (name.startswith(f"{page}-") and name != "ina-0")]
    assert methods and re.findall(r"-?\d+\.\d ± \d+\.\d", text) == [
        rows[names.index(name)][1] for name in ["lora", *methods]
    ]


def test_evidence_quotes_the_precision():
    """Each float32 run beside the leaderboard's, which differs in nothing else: the key is made of the arguments."""
    evidence = (ROOT / "docs/evidence.md").read_text(encoding="utf-8").splitlines()
    folders = [Store(ROOT / "benchmarks/precision"), Store(ROOT / "benchmarks/leaderboard/minilm")]
    for cell in load_sweep(ROOT / "benchmarks/precision/sweep.yaml").cells:
        records = [store.record(cell) for store in folders]
        assert [precision_of(each) for each in records] == ["fp32", "bf16"]
        figures = [each["figures"] for each in records]
        texts = [f"{100 * each['eval_matthews_correlation']:.1f} ({each['eval_loss']:.3f})" for each in figures]
        assert f"| {cell.variant['method']} | {' | '.join(texts)} |" in evidence


def test_evidence_quotes_what_inhibition_does():
    """The lines of the table are the last checkpoints in the JSON, shares also at the first one."""
    runs = json.loads((ROOT / "benchmarks/results/inhibition.json").read_text(encoding="utf-8"))["figures"]
    evidence = (ROOT / "docs/evidence.md").read_text(encoding="utf-8").splitlines()
    for name, points in runs.items():
        first, *_, last = points.values()
        score = {split: round(100 * last[f"{split}_matthews_correlation"]) for split in ("train", "validation")}
        cells = [
            f"{last['train_loss']:.2f} / {last['validation_loss']:.2f}",
            f"{score['train']} / {score['validation']}",
            f"{100 * first['inhibited']:.0f} → {100 * last['inhibited']:.0f} %" if "inhibited" in last else "",
            *(f"{last[each]:.2f}" if each in last else "" for each in ("kept", "branch")),
            f"{last['gate']:.3f} ({last['gate_least']:.2f} to {last['gate_largest']:.2f})" if "gate" in last else "",
        ]
        assert f"| {name.partition(',')[0]} | {' | '.join(cells)} |" in evidence


def test_evidence_quotes_what_batches_do():
    runs = json.loads((ROOT / "benchmarks/results/batch_scope.json").read_text(encoding="utf-8"))["figures"]
    evidence = (ROOT / "docs/evidence.md").read_text(encoding="utf-8").splitlines()
    for name, ways in runs.items():
        cells = [f"{100 * way['matthews_correlation']:.1f} ({100 * way['changed']:.1f} %)" for way in ways.values()]
        assert f"| {name.partition(',')[0]} | {' | '.join(cells)} |" in evidence


@pytest.mark.parametrize(
    ("heading", "folder", "board", "score"),
    [
        ("Why InA bears", "high_rate", FIRST_ROUND, "eval_matthews_correlation"),
        ("RTE: ", "rte", ROOT / "benchmarks/leaderboard", "eval_accuracy"),
    ],
)
def test_evidence_quotes_sweeps(heading, folder, board, score):
    """Scores seed by seed, their mean, the mean losses, and the paired difference to the first method, a leaderboard's."""
    sweep, store = load_sweep(ROOT / f"benchmarks/{folder}/sweep.yaml"), Store(ROOT / f"benchmarks/{folder}")
    figures: dict[str, list[dict]] = {}
    for cell in sweep.cells:  # method by method, seeds in order
        figures.setdefault(cell.variant["method"], []).append(store.record(cell)["figures"])
        if len(figures) == 1:  # "argument by argument": the key is made of them
            assert Store(board / "minilm").record_file(cell)
    losses = [f"eval_{each}" if each == "loss" else each for each in sweep.metrics if each.endswith("loss")]
    first = [100 * each[score] for each in next(iter(figures.values()))]
    section = section_of(heading).splitlines()
    for method, found in figures.items():
        values = [100 * each[score] for each in found]
        gaps = [value - other for value, other in zip(values, first, strict=True)]
        half = 4.302653 * statistics.stdev(gaps) / 3**0.5  # t of two degrees of freedom
        cells = [
            ", ".join(f"{value:.1f}" for value in values),
            f"{statistics.fmean(values):.1f}",
            *(f"{statistics.fmean(each[name] for each in found):.3f}" for name in losses),
            f"{statistics.fmean(gaps):+.1f} ± {half:.1f}" if any(gaps) else "",
        ]
        (line,) = (line for line in section if line.startswith(f"| {method} |"))
        assert line.endswith(f" | {' | '.join(cells)} |")


def test_the_first_runs_of_the_rte_sweep_are_those_of_the_leaderboard():
    """They were not done again, so the two files are one."""
    stores = [Store(ROOT / "benchmarks" / folder) for folder in ("rte", "leaderboard/minilm")]
    for cell in load_sweep(ROOT / "benchmarks/rte/sweep.yaml").cells[:3]:
        own, other = (store.record_file(cell).read_bytes() for store in stores)
        assert cell.variant["method"] == "lora" and own == other


@pytest.mark.parametrize("name", ["moving", "slower"])
def test_evidence_quotes_gates_that_move(name):
    record = json.loads((ROOT / f"benchmarks/results/inhibition_{name}_gates.json").read_text(encoding="utf-8"))
    evidence = (ROOT / "docs/evidence.md").read_text(encoding="utf-8").splitlines()
    for run, points in record["figures"].items():
        method, _, seed = run.partition(", seed ")
        last = list(points.values())[-1]
        scores = (100 * last[f"validation_matthews_correlation{end}"] for end in ("", "_at_1"))
        cells = [
            f"{record['options']['mechanism_lr']:g}",
            seed,
            " / ".join(f"{score:.1f}" for score in scores),
            f"{last['train_loss']:.2f} / {last['validation_loss']:.2f}",
            f"{100 * last['reduced']:.0f} %",
            f"{last['gate']:.2f} ({last['gate_least']:.2f} to {last['gate_largest']:.1f})",
        ]
        assert f"| {method} | {' | '.join(cells)} |" in evidence


def test_evidence_quotes_gates_of_the_first_round():
    name = "benchmarks/results/inhibition_moving_gates_first_round.json"
    scores: dict[str, list[str]] = {}
    for run, points in json.loads((ROOT / name).read_text(encoding="utf-8"))["figures"].items():
        last = list(points.values())[-1]
        scores.setdefault(run.partition(",")[0], []).append(f"{100 * last['validation_matthews_correlation']:.1f}")
    text = f"{', '.join(scores['gi-0'])} at p = 0 and {', '.join(scores['gi-0.9'])} at p = 0.9"
    assert text in (ROOT / "docs/evidence.md").read_text(encoding="utf-8").replace("\n", " ")

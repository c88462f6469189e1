"""The results in the repository: cells are what their keys say, and the report is what they make."""

import json
from pathlib import Path

import pytest

from ginets.bench.protocol import load
from ginets.bench.report import as_csv, as_markdown
from ginets.bench.results import Results
from ginets.recipes.recipe_files import ArgumentsError
from ginets.sweep.grid import Cell


pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
FILE = ROOT / "benchmarks/leaderboard/leaderboard.yaml"
FOLDERS = sorted(path.parent for path in FILE.parent.glob("*/cells"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_cells_are_what_their_keys_say(folder):
    """A changed definition is another cell, never an edited one."""
    files = sorted((folder / "cells").iterdir())
    assert files and {file.suffix for file in files} == {".json"}
    for file in files:
        record = json.loads(file.read_text())
        verb = record["command"].removeprefix("python -m ginets.cli ").partition(" --")[0]
        cell = Cell(verb, record["variant"], record["seed"], record["arguments"])
        assert file.stem == f"{cell.label}-{cell.key}" and record["key"] == cell.key
        assert {"versions", "hardware", "git_commit", "seconds", "figures"} <= record.keys()
        assert record["command"].split()[-2:] == ["--seed", str(record["seed"])]
        assert not any(word.startswith("/") for word in record["command"].split())  # no paths of a machine
        assert len(record["git_commit"]) == 40  # of a checkout without changes


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_report_is_what_the_cells_make(folder):
    pytest.importorskip("scipy")
    results = Results(load(FILE), folder)
    try:
        results.columns  # noqa: B018
    except ArgumentsError:  # no task is whole yet
        assert not (folder / "RESULTS.md").exists()
        return
    costs = folder / "costs.json"
    measured = json.loads(costs.read_text()) if costs.is_file() else {}
    assert (folder / "RESULTS.md").read_text() == as_markdown(results, measured)
    assert (folder / "results.csv").read_text() == as_csv(results)


def test_evidence_quotes_the_report():
    """What the documentation has of a method's scores are lines of the report."""
    evidence = (ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    section = evidence.partition("\n## The leaderboard")[2].partition("\n## ")[0]
    methods = list(load(FILE).methods)
    lines = [line for line in section.splitlines() if line.startswith("| ") and line.split()[1] in methods]
    assert [line.split()[1] for line in lines] == methods
    assert set(lines) <= set((FILE.parent / "minilm/RESULTS.md").read_text(encoding="utf-8").splitlines())

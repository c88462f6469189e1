"""The summary of a sweep."""

import csv
import io
import json
import math

import pytest

from ginets.recipes.arguments import ArgumentsError
from ginets.sweep.grid import Cell
from ginets.sweep.table import as_csv, as_records, as_text, summarise


COSTS = {"seconds": 2.0, "peak_memory_mib": 100, "saved_mib": 0.5}
# variant, seed, its figures
RUNS = [
    ("lora", 1, {"eval_f1": 0.5, "eval_loss": 1.0, "eval_runtime": 3.0, "train_loss": 0.1, "adapter": "lora"}),
    ("lora", 2, {"eval_f1": 0.8, "eval_loss": 2.0, "eval_runtime": 3.0, "train_loss": 0.1, "adapter": "lora"}),
    ("ina", 1, {"eval_f1": 0.25, "eval_exact": 7.0}),
]
RECORDS = [(Cell("glue", {"method": name}, seed, {}), COSTS | {"figures": figures}) for name, seed, figures in RUNS]


def test_mean_and_deviation_over_seeds():
    rows = {(row.variant["method"], row.metric): row for row in summarise(RECORDS, [])}
    assert rows.keys() == {("lora", "eval_f1"), ("lora", "eval_loss"), ("ina", "eval_f1"), ("ina", "eval_exact")}
    f1 = rows["lora", "eval_f1"]
    assert f1.values.mean == pytest.approx(0.65) and f1.values.deviation == pytest.approx(0.3 / math.sqrt(2))
    assert rows["ina", "eval_f1"].values.deviation is None


def records(*figures: tuple[str, dict[int, float]]) -> list:
    """Variant and its F1 by seed."""
    return [(Cell("glue", {"method": name}, seed, {}), COSTS | {"figures": {"eval_f1": value}})
            for name, seeds in figures for seed, value in seeds.items()]  # fmt: skip


def test_differences_are_of_the_same_seed():
    """Whatever order seeds come in; a seed that only one variant has makes no pair."""
    cells = records(("lora", {1: 0.5, 2: 0.75, 3: 0.1}), ("ina", {2: 0.5, 1: 0.75, 9: 1.0}), ("sora", {8: 0.2}))
    lora, ina, sora = summarise(cells, ["f1"])
    assert lora.differences is None and sora.differences is None
    assert ina.differences.mean == 0 and ina.differences.deviation == pytest.approx(0.5 / math.sqrt(2))
    assert as_text([lora, ina, sora]).splitlines() == [
        "method  seeds  eval_f1",
        "lora    3      0.45 ± 0.33",
        "ina     3      0.75 ± 0.25",
        "sora    1      0.2",
        "",
        "less those of the first (lora), seed by seed:",
        "",
        "method  pairs  eval_f1",
        "ina     2      +0 ± 0.35",
    ]
    lines = list(csv.DictReader(io.StringIO(as_csv([lora, ina, sora]))))
    assert [(line["pairs"], line["difference"]) for line in lines] == [("0", ""), ("2", "0.0"), ("0", "")]
    assert float(lines[1]["difference_sd"]) == pytest.approx(0.5 / math.sqrt(2))


def test_text():
    assert as_text(summarise(RECORDS, ["f1", "seconds"])).splitlines() == [
        "method  seeds  eval_f1      seconds",
        "lora    2      0.65 ± 0.21  2 ± 0",
        "ina     1      0.25         2",
        "",
        "less those of the first (lora), seed by seed:",
        "",
        "method  pairs  eval_f1  seconds",
        "ina     1      -0.25    +0",
    ]
    assert as_text(summarise(RECORDS, ["exact"])).splitlines()[-1].split() == ["ina", "1", "7"]


def test_csv():
    lines = list(csv.DictReader(io.StringIO(as_csv(summarise(RECORDS, ["eval_f1"])))))
    assert [(line["method"], line["metric"], line["seeds"]) for line in lines] == [
        ("lora", "eval_f1", "2"), ("ina", "eval_f1", "1"),
    ]  # fmt: skip
    assert float(lines[0]["mean"]) == pytest.approx(0.65) and lines[1]["sd"] == ""


def test_runs_that_diverged():
    """They are a part of what a sweep says, and take nothing from the rest of it."""
    records = [(cell, {**record, "figures": dict(record["figures"])}) for cell, record in RECORDS]
    lost = next(at for at, (cell, _) in enumerate(records) if cell.variant["method"] == "lora")
    for value, mean in ((float("nan"), "nan"), (float("inf"), "inf"), (float("-inf"), "-inf")):
        records[lost][1]["figures"]["eval_loss"] = value
        rows = summarise(records, ["loss", "f1"])
        text, (loss, *_) = as_text(rows), as_records(rows)
        assert f"{mean} ± nan" in text and "0.65 ± " in text and f"{mean},nan" in as_csv(rows)
        assert loss["values"].count(None) == 1 and loss["mean"] is None and loss["sd"] is None
        json.loads(json.dumps(as_records(rows)), parse_constant=pytest.fail)


def test_unknown_metric():
    with pytest.raises(ArgumentsError, match=r"no finished cell has a figure 'accuracy'; allowed: eval_f1, eval_loss"):
        summarise(RECORDS, ["accuracy"])
    with pytest.raises(ArgumentsError, match="allowed: none yet"):
        summarise([], ["f1"])

"""A small leaderboard for the tests: its file, its data, and pretended runs."""

import json

import pytest


yaml = pytest.importorskip("yaml")
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


def changed(path, value):
    """CONTENT with another value at a place such as `methods.lora.rates`."""
    content = json.loads(json.dumps(CONTENT))
    *parents, last = path.split(".")
    at = content
    for name in parents:
        at = at[name]
    at[last] = value
    return content


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

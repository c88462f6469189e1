"""The curves of a training that the page has started grow between checkpoints, whatever is trained."""

import json
import time
from pathlib import Path

import pytest

from ginets.data import arithmetic_generated
from ginets.ui.commands import TASKS, Form
from ginets.ui.runs import Runs
from ginets.ui.training import curves
from tests.recipes import glue_fixtures, squad_fixtures
from tests.tiny_language import MODELS, make_tokenizer


def glue(folder: Path) -> dict:
    glue_fixtures.make_sst2(folder, rows=16)
    return {"model": glue_fixtures.make_model(folder / "model"), "task_name": "sst2", "glue_dir": folder}


def squad(folder: Path) -> dict:
    train, dev = (squad_fixtures.make_squad(folder / name, questions=12) for name in ("train.json", "dev.json"))
    model = squad_fixtures.make_model(folder / "model")
    return {"model": model, "train_file": train, "validation_file": dev, "more": "--max_seq_length 24 --doc_stride 8"}


def writer(folder: Path) -> Path:
    model_class, config = MODELS["gpt2"]
    model_class(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def nlg(folder: Path) -> dict:
    (folder / "train.csv").write_text("mr,ref\na b,c d\nb c,d e\n")
    return {"model": writer(folder / "model"), "task_name": "e2e", "train_file": folder / "train.csv"}


def instruct(folder: Path) -> dict:
    rows = [{"instruction": f"a {letter}", "input": "", "output": f"b {letter}"} for letter in "abcdef"]
    (folder / "train.json").write_text(json.dumps(rows))
    return {"model": writer(folder / "model"), "train_file": folder / "train.json", "more": "--max_seq_length 64"}


def math(folder: Path) -> dict:
    arithmetic_generated.write(folder, {"train": 12})
    return {"model": writer(folder / "model"), "train_file": folder / "train.jsonl", "more": "--max_seq_length 64"}


MAKE = {"glue": glue, "squad": squad, "train nlg": nlg, "train instruct": instruct, "train math": math}


def started(folder: Path, task: str, more: str) -> Runs:
    fields = MAKE[TASKS[task]](folder)
    words = f"{fields.pop('more', '')} --use_cpu --disable_tqdm True {more}"
    runs = Runs(enabled=True)
    made = Form(
        task, output_dir=str(folder / "run"), more=words, **{name: str(value) for name, value in fields.items()}
    )
    runs.start(made.verb, made.words())
    return runs


def wait(runs: Runs, condition) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert runs.running and time.monotonic() < end, runs.log(40)
        time.sleep(0.05)


def steps(runs: Runs) -> list[int]:
    return [entry["step"] for entry in runs.history()[0] if "loss" in entry]


@pytest.mark.parametrize("task", TASKS)
def test_before_any_checkpoint(task, tmp_path):
    runs = started(tmp_path, task, "--save_strategy no --eval_strategy no --logging_steps 2 --max_steps 1000000")
    try:
        wait(runs, lambda: len(steps(runs)) > 2)
        assert "<img" in curves(runs) and not list(tmp_path.glob("run/checkpoint-*"))
    finally:
        runs.stop()
    seen = steps(runs)
    assert seen == list(range(2, 2 * len(seen) + 1, 2))


def test_stopped_between_checkpoints_and_resumed(tmp_path):
    often = "--save_strategy steps --eval_strategy steps --save_steps 100 --eval_steps 100 --logging_steps 1"
    runs = started(tmp_path, next(iter(TASKS)), f"{often} --max_steps 300")
    wait(runs, lambda: steps(runs)[-1:] > [110])
    runs.stop()
    before = steps(runs)
    assert before == list(range(1, before[-1] + 1)) and before[-1] % 100
    assert runs.history()[1] == "accuracy"
    runs.resume()
    while runs.running:  # whenever one looks, every step is there once, and in order
        seen = steps(runs)
        assert seen == list(range(1, len(seen) + 1))
        time.sleep(0.02)
    assert "has ended" in runs.state(), runs.log(40)
    assert steps(runs) == list(range(1, 301))

"""The training tab beneath the page: its command line is one that the real parser takes, and it runs, stops, resumes."""

import asyncio
import shlex
import time
from pathlib import Path

import pytest

from ginets.recipes.commands import COMMANDS
from ginets.recipes.recipe_files import expand
from ginets.ui.commands import FIELDS, TASKS, Form, check
from ginets.ui.runs import Runs
from ginets.ui.source import Refused
from ginets.ui.training import form, handlers
from tests.recipes.glue_fixtures import make_model, make_sst2


GLUE, SQUAD, NLG, *_ = TASKS


@pytest.mark.parametrize("task", TASKS)
def test_the_command_parses(task, tmp_path):
    """Every field arrives under its name, and the line shown is the words that would run."""
    made = Form(
        task, model="my model", train_file="a file.json", validation_file="dev.json", adapter="ina", level=0.45,
        gates=("keys",), epochs=2.5, learning_rate=3e-4, batch_size=4, seed=7, output_dir=str(tmp_path / "run"),
        more="--max_train_samples 10 --warmup_steps '5'", task_name="e2e" if task == NLG else "",
    )  # fmt: skip
    assert shlex.split(made.line().replace("\\\n", "")) == ["ginets", *made.verb.split(), *made.words()]
    assert check(made.verb, made.words()) == str(tmp_path / "run")
    command = COMMANDS[TASKS[task]]
    model, adapter, gates, data, training = command.parse_all(expand(made.words(), command.recipes))
    assert model.model_name_or_path == "my model" and adapter.adapter == "ina"
    assert adapter.fields["inhibition_level"] == 0.45 == gates.inhibition_level
    assert gates.gi_key_side and not gates.gi_query_side and data.max_train_samples == 10
    assert data.train_file in ("a file.json", ["a file.json"]) and training.do_train and training.do_eval
    numbers = (training.num_train_epochs, training.learning_rate, training.per_device_train_batch_size, training.seed)
    assert numbers == (2.5, 3e-4, 4, 7) and training.warmup_steps == 5


def test_only_what_belongs_to_the_task():
    words = Form(SQUAD, model="m", task_name="mrpc", glue_dir="GLUE", train_file="t", level=0.3).words()
    assert not {"--task_name", "--glue_dir", "--inhibition_level", "--adapter", "--do_eval"} & set(words)
    assert "--do_eval" in Form(GLUE, task_name="mrpc").words()
    assert "--do_eval" not in Form(NLG, task_name="e2e", train_file="t").words()


@pytest.mark.parametrize("changes,message", [
    ({"model": ""}, "name a model"),
    ({"learning_rate": -1.0}, "learning_rate is -1"),
    ({"more": "--colour blue"}, "Unknown arguments: --colour blue"),
    ({"more": "'open"}, "No closing quotation"),
    ({"more": "--recipe no/such"}, "no/such"),
])  # fmt: skip
def test_what_the_parser_refuses(changes, message, capsys):
    made = {"task": GLUE, "model": "m", "task_name": "mrpc"} | changes
    with pytest.raises(Refused, match=message) as refusal:
        check("glue", Form(**made).words())
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr() == ("", "")


def test_empty_fields_of_the_page():
    values = [getattr(Form(GLUE), name) for name in FIELDS]
    assert form(values) == Form(GLUE)
    values[FIELDS.index("epochs")] = None
    with pytest.raises(Refused, match="number for epochs"):
        form(values)


def test_switched_off_nothing_starts(tmp_path):
    runs, folder = Runs(enabled=False), tmp_path / "run"
    values = [getattr(Form(GLUE, model="m", task_name="mrpc", output_dir=str(folder)), name) for name in FIELDS]
    call = handlers(runs)
    for said in (asyncio.run(call["start"](*values)), asyncio.run(call["resume"]())):
        assert "switched off" in said and 'role="alert"' in said
    assert runs.process is None and not folder.exists()
    assert "The command can be used" in asyncio.run(call["checked"](*values))


def wait(runs: Runs, condition) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < end, runs.log(40)
        time.sleep(0.1)


def test_start_stop_resume(tmp_path):
    model, data = make_model(tmp_path / "model"), make_sst2(tmp_path / "glue", rows=16)
    made = Form(
        GLUE, model=str(model), task_name="sst2", glue_dir=str(data), epochs=40, output_dir=str(tmp_path / "run"),
        more="--use_cpu",
    )  # fmt: skip
    runs = Runs(enabled=True)
    with pytest.raises(Refused, match="Nothing was started"):
        runs.resume()
    runs.start(made.verb, made.words())
    with pytest.raises(Refused, match="is running"):
        runs.start(made.verb, made.words())
    wait(runs, lambda: runs.history()[1] or not runs.running)  # evaluated once
    runs.stop()
    assert "was stopped" in runs.state()
    before, metric = runs.history()
    assert metric == "accuracy" and 0 < before[-1]["epoch"] < 40
    runs.resume()
    wait(runs, lambda: not runs.running)
    assert "has ended" in runs.state(), runs.log(40)
    history, _ = runs.history()
    epochs = [entry["epoch"] for entry in history if "eval_loss" in entry]
    assert epochs == [float(number) for number in range(1, 41)]
    assert "eval_accuracy" in Path(tmp_path, "run", "all_results.json").read_text()
    first, second = (line for line in Path(tmp_path, "run", "page.log").read_text().splitlines() if line[:2] == "$ ")
    assert second == f"{first} --resume_from_checkpoint auto"


def test_a_training_that_fails_says_so(tmp_path):
    made = Form(GLUE, model=str(tmp_path / "none"), task_name="sst2", glue_dir=str(tmp_path), output_dir=str(tmp_path / "run"))  # fmt: skip
    runs = Runs(enabled=True)
    runs.start(made.verb, made.words())
    wait(runs, lambda: not runs.running)
    assert "failed (exit code 2)" in runs.state() and "error:" in runs.log()

"""Shared arguments: defaults, files of arguments, overriding, bad input."""

import dataclasses
import json
import platform
from pathlib import Path

import pytest
from transformers import HfArgumentParser, TrainingArguments

from ginets.models.flags import GateFlags, InAFlags, flag_names
from ginets.recipes import arguments
from ginets.recipes.arguments import (
    ArgumentsError,
    GateArguments,
    ModelArguments,
    RecipeTrainingArguments,
    parse,
)


TYPES = [ModelArguments, GateArguments, RecipeTrainingArguments]


def test_defaults_with_training_and_evaluation():
    _, _, args = parse(TYPES, ["--do_train", "--do_eval"])
    assert args.eval_strategy == args.save_strategy == args.logging_strategy == "epoch"
    assert args.load_best_model_at_end and args.greater_is_better
    assert args.train_sampling_strategy == "group_by_length"


@pytest.mark.parametrize(
    ("words", "evaluate", "save", "best"),
    [
        (["--do_train"], "no", "epoch", False),
        (["--do_eval"], "no", "no", False),
        (["--do_train", "--do_eval", "--save_strategy", "no"], "epoch", "no", False),
        (["--do_train", "--do_eval", "--eval_strategy", "steps", "--eval_steps", "5"], "steps", "steps", True),
        (["--do_train", "--do_eval", "--load_best_model_at_end", "false"], "epoch", "epoch", False),
    ],
)
def test_defaults_follow_what_is_done(words, evaluate, save, best):
    _, _, args = parse(TYPES, words)
    assert (args.eval_strategy, args.save_strategy, args.load_best_model_at_end) == (evaluate, save, best)


def test_only_gate_flags_that_were_written_count():
    _, gates, _ = parse(
        TYPES, ["--gi_query_side", "--inhibition_level", "0", "--ina_target_modules", "q_proj", "o_proj"]
    )
    assert gates.given == {"gi_query_side": True, "inhibition_level": 0.0, "ina_target_modules": ["q_proj", "o_proj"]}
    assert parse(TYPES, ["--gi_key_side", "false"])[1].given == {"gi_key_side": False}


def test_gate_arguments_are_the_flags_of_the_models():
    assert {f.name for f in dataclasses.fields(GateArguments)} == {*flag_names(GateFlags), *flag_names(InAFlags)}


def test_no_training_argument_of_transformers_is_lost():
    stock = {f.name for f in dataclasses.fields(TrainingArguments)}
    assert stock <= {f.name for f in dataclasses.fields(RecipeTrainingArguments)}


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_file_of_arguments_and_overriding(ending, tmp_path):
    content = {"model_name_or_path": "m", "do_train": True, "seed": 3, "ina_target_modules": ["q_proj", "k_proj"],
               "gi_key_side": False, "token": None, "lr_scheduler_kwargs": {"num_cycles": 2}}  # fmt: skip
    text = json.dumps(content)
    if ending == "yaml":
        text = "\n".join(f"{name}: {json.dumps(value)}" for name, value in content.items()) + "\nlearning_rate: 2e-5\n"
    path = tmp_path / f"args.{ending}"
    path.write_text(text)
    model, gates, args = parse(TYPES, [str(path), "--seed", "7"])
    assert model.model_name_or_path == "m" and model.token is None
    assert gates.given == {"ina_target_modules": ["q_proj", "k_proj"], "gi_key_side": False}
    assert args.do_train and args.seed == 7 and args.lr_scheduler_kwargs == {"num_cycles": 2}
    if ending == "yaml":  # a bare 2e-5 is a string in YAML 1.1
        assert args.learning_rate == 2e-5


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", "{", "not valid json"),
        ("a.yaml", "a: [", "not valid yaml"),
        ("a.json", "[1]", "maps names to values"),
    ],
)
def test_bad_file_of_arguments(name, text, says, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ArgumentsError, match=says):
        parse(TYPES, [str(tmp_path / name)])
    with pytest.raises(ArgumentsError, match="no such file"):
        parse(TYPES, [str(tmp_path / "missing.yaml")])


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("learning_rate", -1.0), ("learning_rate", float("nan")), ("per_device_train_batch_size", 0),
        ("per_device_eval_batch_size", 0), ("gradient_accumulation_steps", 0), ("num_train_epochs", -1.0),
        ("label_smoothing_factor", 1.5), ("weight_decay", -0.1), ("early_stopping_patience", 0),
    ],
)  # fmt: skip
def test_numbers_out_of_range(word, value):
    with pytest.raises(ArgumentsError, match=f"--{word} is {value}; allowed: "):
        RecipeTrainingArguments(**{word: value})


@pytest.mark.parametrize(
    "words", [["--learning_rat", "1"], ["--seed", "x"], ["stray"], ["--dtype", "int8"], ["--gi_query_side", "perhaps"]]
)
def test_bad_command_line_is_one_line_and_code_2(words, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(TYPES, words, prog="run_glue")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("run_glue: error: ") and error.count("\n") == 1


@pytest.mark.parametrize(("words", "emulated", "warned"), [
    (["--bf16", "--use_cpu"], True, True), (["--bf16", "--use_cpu"], False, False), (["--use_cpu"], True, False),
])  # fmt: skip
def test_bfloat16_that_is_slow_is_warned_of(monkeypatch, caplog, words, emulated, warned):
    monkeypatch.setattr(arguments, "emulates_bfloat16", lambda: emulated)
    monkeypatch.setattr(arguments.logger, "propagate", True)
    parse(TYPES, words)
    assert ("this processor has no bfloat16" in caplog.text) == warned


def test_what_the_processor_has_is_known():
    """Linux lists its features: without AVX-512 oneDNN has no product of bfloat16 on an x86."""
    info = Path("/proc/cpuinfo")
    if platform.machine() != "x86_64" or not info.exists():
        pytest.skip("only on x86 with Linux")
    assert arguments.emulates_bfloat16() == ("avx512bw" not in info.read_text())


@pytest.mark.parametrize(("words", "says"), [
    (["--dataloader_drop_last"], "--dataloader_drop_last is True, and would leave rows out of the evaluation"),
    (["--prediction_loss_only"], "--prediction_loss_only is True, and there would be nothing to score"),
    (["--eval_do_concat_batches", "False"], "--eval_do_concat_batches is False, .* allowed with an evaluation: True"),
    (["--batch_eval_metrics"], "--batch_eval_metrics is True"),
])  # fmt: skip
def test_what_an_evaluation_cannot_have(words, says, tmp_path):
    """Otherwise it would be found after an epoch, or at the end of the training."""
    common = ["--output_dir", str(tmp_path), "--use_cpu", *words]
    with pytest.raises(ArgumentsError, match=says):
        HfArgumentParser(RecipeTrainingArguments).parse_args_into_dataclasses([*common, "--do_eval"])
    HfArgumentParser(RecipeTrainingArguments).parse_args_into_dataclasses([*common, "--do_train"])

"""Flags of the adapters: made from the config classes, with their help; values as the configs take them."""

import dataclasses
import sys

import pytest
import torch
from peft import AdaLoraConfig, LoraConfig, VeraConfig
from transformers import Trainer, TrainingArguments

from ginets.recipes import methods
from ginets.recipes.adapted import AdapterArguments, make_config, planned_steps
from ginets.recipes.arguments import ArgumentsError
from ginets.recipes.glue import COMMAND, parse_all
from ginets.recipes.heads import CLASSIFICATION


def parsed(*words):
    return parse_all(["--model_name_or_path", "m", *words])[1]


@pytest.mark.parametrize("name", methods.METHODS)
def test_every_field_is_a_flag_with_its_help(name, capsys):
    """All but PEFT's own bookkeeping, fields without effect, and configs within the config."""
    method = methods.METHODS[name]
    with pytest.raises(SystemExit):
        parsed("--adapter", name, "--help")
    shown = " ".join(capsys.readouterr().out.split())
    base = {
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
    }
    nested = {"eva_config", "corda_config", "lora_ga_config", "monteclora_config", "runtime_config", "use_bdlora",
              "arrow_config", "kasa_config"}  # fmt: skip
    for field in dataclasses.fields(method.config_class):
        flag = f"--adapter_{field.name}" if field.name in COMMAND.taken else f"--{field.name}"
        if field.name in base | nested | set(method.hidden):
            assert f"{flag} " not in shown.replace(f"[{flag}", "")
        else:
            assert f"{flag} " in shown
            assert " ".join(field.metadata["help"].split())[:40] in shown


@pytest.mark.parametrize(
    ("words", "config", "expected"),
    [
        ("lora --r 4 --lora_alpha 32 --lora_dropout 0.1 --target_modules query key", LoraConfig,
         {"r": 4, "lora_alpha": 32, "lora_dropout": 0.1, "target_modules": {"query", "key"}}),
        ("lora --target_modules all-linear --use_rslora --bias all", LoraConfig,
         {"target_modules": "all-linear", "use_rslora": True, "bias": "all"}),
        ("lora --target_modules output.dense", LoraConfig, {"target_modules": {"output.dense"}}),
        (r"lora --target_modules .*\.(query|key)", LoraConfig, {"target_modules": r".*\.(query|key)"}),
        ("lora --target_modules [qk].* --r=2", LoraConfig, {"target_modules": "[qk].*", "r": 2}),
        ('lora --rank_pattern {"query":4} --alpha_pattern {"query":9}', LoraConfig,
         {"rank_pattern": {"query": 4}, "alpha_pattern": {"query": 9}}),
        ("lora --layers_to_transform 0 2 --modules_to_save pooler", LoraConfig,
         {"layers_to_transform": [0, 2], "modules_to_save": ["pooler"]}),
        ("lora --init_lora_weights false", LoraConfig, {"init_lora_weights": False}),
        ("lora --init_lora_weights gaussian --use_rslora no", LoraConfig,
         {"init_lora_weights": "gaussian", "use_rslora": False}),
        ("adalora --init_r 6 --target_r 3 --beta1 0.5", AdaLoraConfig,
         {"init_r": 6, "target_r": 3, "beta1": 0.5, "total_step": 100, "tinit": 15, "tfinal": 50}),
        ("adalora --tinit 3 --tfinal 4", AdaLoraConfig, {"tinit": 3, "tfinal": 4}),
        ("vera --r 1024 --d_initial 0.2", VeraConfig, {"r": 1024, "d_initial": 0.2}),
    ],
)  # fmt: skip
def test_flags_become_the_config(words, config, expected):
    made = make_config(parsed("--adapter", *words.split()), 100, CLASSIFICATION)
    assert type(made) is config and made.task_type == "SEQ_CLS"
    assert {name: getattr(made, name) for name in expected} == expected
    if config is not AdaLoraConfig:  # whose schedule is filled in
        reference = config(**expected, task_type="SEQ_CLS")
        assert made == reference


def test_a_field_that_is_an_argument_of_the_recipe_gets_a_prefix():
    """So that a gate and the adapter can be set independently."""
    args, gates = parse_all(
        ["--model_name_or_path", "m", "--adapter", "ina", "--adapter_inhibition_level", "0.1",
         "--adapter_ina_alpha", "4", "--gi_query_side", "--inhibition_level", "0.2"]
    )[1:3]  # fmt: skip
    assert args.fields == {"inhibition_level": 0.1, "ina_alpha": 4.0}
    assert gates.given == {"gi_query_side": True, "inhibition_level": 0.2}


def test_config_classes_of_ours_check_their_fields():
    with pytest.raises(
        ArgumentsError, match=r"--adapter ina: InAConfig: inhibition_level is 1\.5; allowed: 0 <= p < 1"
    ):
        make_config(parsed("--adapter", "ina", "--adapter_inhibition_level", "1.5"), 10, CLASSIFICATION)


@pytest.mark.parametrize(
    ("steps", "words", "says"),
    [
        (1, "", "--tinit is 0 and --tfinal is 0 in a run of 1 steps"),
        (10, "--tinit 5 --tfinal 5", "--tinit is 5 and --tfinal is 5 in a run of 10 steps"),
        (10, "--tfinal 9", "at least two steps"),
        (10, "--init_r 4 --target_r 4", "--init_r is 4 and --target_r is 4; allowed: 1 <= target_r < init_r"),
        (10, "--target_r 0", "--init_r is 12 and --target_r is 0"),
        (10, "--orth_reg_weight -1", "--orth_reg_weight is -1.0; allowed: at least 0"),
    ],
)
def test_adalora_schedules_that_cannot_be(steps, words, says):
    with pytest.raises(ArgumentsError, match=says):
        make_config(parsed("--adapter", "adalora", *words.split()), steps, CLASSIFICATION)


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 7, 12, 100, 3450])
def test_adalora_schedule_of_any_run(steps):
    config = make_config(parsed("--adapter", "adalora"), steps, CLASSIFICATION)  # AdaLoraConfig checks it, too
    assert 0 <= config.tinit < config.total_step - config.tfinal <= config.total_step == steps
    assert config.total_step - config.tfinal >= 2


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 3}, {"num_train_epochs": 1.5}, {"max_steps": 4}, {"gradient_accumulation_steps": 3},
        {"dataloader_drop_last": True}, {"per_device_train_batch_size": 64},
    ],
)  # fmt: skip
def test_planned_steps_are_those_of_the_trainer(options, tmp_path):
    args = TrainingArguments(
        **{"output_dir": str(tmp_path), "per_device_train_batch_size": 4, "use_cpu": True} | options
    )
    rows = [{"x": torch.zeros(1)}] * 27
    trainer = Trainer(torch.nn.Linear(1, 1), args, train_dataset=rows)
    *_, expected = trainer.set_initial_training_values(args, trainer.get_train_dataloader())
    assert planned_steps(args, len(rows)) == expected


def test_the_message_where_peft_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match=r"ginets\[adapters\]"):
        methods.METHODS["lora"].config_class  # noqa: B018


def test_learning_rates_need_something_to_apply_to():
    with pytest.raises(ArgumentsError, match="--adapter_lr needs --adapter, one of lora, adalora"):
        AdapterArguments(adapter_lr=1.0)
    with pytest.raises(ArgumentsError, match="--classifier_lr is -1; allowed: at least 0"):
        AdapterArguments(classifier_lr=-1)

"""The command `run_glue`: bad input ends in one line and exit code 2, before weights are read.

The model folder has no weights file at all, so a run that got as far as reading weights would end in another error.
"""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification

from ginets.recipes import demo
from ginets.recipes.glue import main
from tests.recipes.glue_fixtures import make_model, make_sst2


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    make_model(folder / "model", weights=False)
    make_model(folder / "nli", labels=("entailment", "neutral", "contradiction"), weights=False)
    make_model(folder / "rte", labels=("entailment", "not_entailment"), weights=False)
    make_sst2(folder, rows=8)
    for name, text in {
        "good.csv": "sentence,label\ngood,1\nbad,0\n",
        "no_label.csv": "sentence\ngood\n",
        "three.csv": "sentence,label\ngood,0\nbad,1\nfine,2\n",
        "empty.csv": "",
        "header_only.csv": "sentence,label\n",
        "other.csv": "sentence,label\ngood,yes\nbad,no\n",
        "one.csv": "sentence,label\ngood,1\nbad,1\n",
        "scores.csv": "sentence,label\ngood,0.5\nbad,1.5\n",
        "demo.json": '{"demo": true, "train_rows": 0}',
    }.items():
        (folder / name).write_text(text)
    gpt2 = {
        "model_type": "gpt2",
        "architectures": ["GPT2Model"],
        "vocab_size": 20,
        "n_embd": 8,
        "n_layer": 1,
        "n_head": 1,
    }
    (folder / "gpt2").mkdir()
    (folder / "gpt2/config.json").write_text(json.dumps(gpt2))
    gated = json.loads((make_model(folder / "gated", weights=False) / "config.json").read_text())
    gated |= {"model_type": "bert_gi", "gi_query_side": True}
    (folder / "gated/config.json").write_text(json.dumps(gated))
    trained = get_peft_model(
        BertForSequenceClassification(BertConfig.from_pretrained(folder / "model")), LoraConfig(r=2)
    )
    trained.peft_config["default"].base_model_name_or_path = "model"
    trained.save_pretrained(folder / "trained")
    checkpoint = folder / "old/checkpoint-5"
    checkpoint.mkdir(parents=True)
    return folder


SST2 = "--model_name_or_path model --task_name sst2 --glue_dir . --do_train --do_eval"
FILE = "--model_name_or_path model --do_train --train_file"
BAD = {
    "no model": ("--task_name sst2 --glue_dir . --do_train", "--model_name_or_path is missing"),
    "model without config": (SST2.replace("path model", "path SST-2"), "no config at 'SST-2'"),
    "unknown task": (SST2.replace("sst2", "sst3"), "--task_name is 'sst3'; the tasks are cola, sst2"),
    "nothing to do": ("--model_name_or_path model --task_name sst2 --glue_dir .", "give --do_train, --do_eval or"),
    "no data": ("--model_name_or_path model --do_train", "no data; give --task_name"),
    "folder without the task": (SST2.replace("sst2", "cola"), "CoLA/train.tsv: there is no such file"),
    "folder without task name": ("--model_name_or_path model --glue_dir . --do_train", "--glue_dir needs --task_name"),
    "two sources": (SST2 + " --train_file good.csv", "choose one source"),
    "missing file argument": (FILE + " good.csv --do_eval", "--do_eval needs --validation_file"),
    "missing column": (FILE + " good.csv --task_name mrpc", "no column 'sentence1'; it has sentence, label. Rename"),
    "missing labels": (FILE + " no_label.csv --task_name sst2", "no column 'label'"),
    "labels beyond the task": (FILE + " three.csv --task_name sst2", "line 4: the label is '2'; labels of this task"),
    "labels of another kind": (FILE + " other.csv --task_name sst2", "line 2: the label is 'yes'"),
    "text in a regression": (FILE + " other.csv --task_name stsb", "no column 'sentence1'"),
    "empty file": (FILE + " empty.csv", "empty.csv: the file is empty"),
    "header only": (FILE + " header_only.csv", "header_only.csv: the file has no rows"),
    "one class": (FILE + " one.csv", "one.csv: every label is '1'; a classifier needs at least two classes"),
    "wrong ending": (FILE + " SST-2/train.tsv", "files end in .csv, .json, .jsonl"),
    "head of another size": (SST2.replace("path model", "path nli"), "has 3 outputs (entailment, neutral, contradiction)"),
    "head of another task": (
        "--model_name_or_path rte --task_name sst2 --glue_dir . --do_eval",
        "tells apart entailment, not_entailment, the data negative, positive",
    ),
    "files against a head": ("--model_name_or_path rte --validation_file other.csv --do_eval",
        "the label is 'yes'; labels of this task are entailment, not_entailment",
    ),
    "gate level": (SST2 + " --gi_query_side --inhibition_level 1.5", "`inhibition_level` is 1.5; allowed: a number p"),
    "gate layers": (SST2 + " --gi_query_side --gi_layer_num 4", "`gi_layer_num` is 4; allowed: an integer from 0 to 1"),
    "gate level of a gated model": (SST2.replace("path model", "path gated") + " --inhibition_level 1.5", "`inhibition_level` is 1.5"),
    "unknown gate of a gated model": (SST2.replace("path model", "path gated") + " --ina_rank 4", "`ina_rank` is 4"),
    "gate of another family": (SST2 + " --gi_query_side --ina_rank 4", "ina_rank"),
    "level without a side": (SST2 + " --inhibition_level 0.1", "gi_query_side"),
    "family without gates": (SST2.replace("path model", "path gpt2") + " --gi_query_side", "takes no gate flags"),
    "no tokenizer": (SST2 + " --tokenizer_name SST-2", "--tokenizer_name"),
    "no such checkpoint": (SST2 + " --resume_from_checkpoint gone", "'gone', which is no checkpoint folder"),
    "used output folder": (SST2 + " --output_dir old", "old holds checkpoints of an earlier run"),
    "patience without evaluation": (SST2.replace("--do_eval", "--early_stopping_patience 2"), "needs --do_eval"),
    "patience zero": (SST2 + " --early_stopping_patience 0", "allowed: at least 1"),
    "best by an unknown metric": (SST2 + " --metric_for_best_model foo", "is 'foo'; here it can be accuracy, loss"),
    "best by a metric of another task": (FILE + " good.csv --metric_for_best_model f1", "is 'f1'; here it can be accuracy"),
    "output folder is a file": (SST2 + " --output_dir good.csv", "'good.csv' is a file; name a folder"),
    "output folder in a file": (SST2 + " --output_dir good.csv/out", "'good.csv' is a file; name a folder"),
    "learning rate": (SST2 + " --learning_rate -1", "--learning_rate is -1.0; allowed: at least 0"),
    "batch size": (SST2 + " --per_device_train_batch_size 0", "--per_device_train_batch_size is 0; allowed: at least 1"),
    "smoothing of scores": (FILE + " scores.csv --label_smoothing_factor 0.1", "--label_smoothing_factor is for classes"),
    "no demo and nothing else": ("--demo false", "--model_name_or_path is missing"),
    "demo from a file of arguments": ("demo.json", "--train_rows is 0; it must be at least 6"),
    "length zero": (SST2 + " --max_seq_length 0", "--max_seq_length is 0; it must be at least 1"),
    "best model of unequal strategies": (SST2 + " --save_strategy steps --load_best_model_at_end", "save and eval strategy"),
    "file of arguments": ("gone.yaml", "gone.yaml: there is no such file of arguments"),
    "unknown adapter": (SST2 + " --adapter dora", "choose from 'none', 'lora', 'adalora'"),
    "flag of an adapter without one": (SST2 + " --lora_alpha 4", "--lora_alpha belongs to --adapter lora, adalora"),
    "flag of another adapter": (SST2 + " --adapter vera --target_r 4", "--target_r belongs to --adapter adalora)"),
    "flag with a prefix": (SST2 + " --adapter lora --adapter_inhibition_level 0.1", "belongs to --adapter ina)"),
    "unknown bias": (SST2 + " --adapter vera --bias x", "--bias is 'x'; allowed: none, all, vera_only."),
    "rate of no adapter": (SST2 + " --adapter_lr 0.1", "--adapter_lr needs --adapter, one of lora"),
    "start of no adapter": (SST2 + " --init_adapter x", "--init_adapter needs --adapter, one of lora"),
    "negative rate": (SST2 + " --classifier_lr -1", "--classifier_lr is -1.0; allowed: at least 0"),
    "pattern that is no JSON": (SST2 + " --adapter lora --rank_pattern {query", "--rank_pattern is '{query', which is not valid JSON"),
    "pattern that is no mapping": (SST2 + " --adapter lora --rank_pattern 4", "--rank_pattern is '4'; allowed: a mapping"),
    "mapping that is a list": (SST2 + " --adapter lora --rank_pattern [4]", "--rank_pattern is '[4]'; allowed: a mapping"),
    "layers that are no numbers": (SST2 + " --adapter lora --layers_to_transform a", "--layers_to_transform is 'a'; allowed: whole numbers"),
    "rank zero": (SST2 + " --adapter vera --r 0", "--r is 0; allowed: at least 1"),
    "rank zero of ours": (SST2 + " --adapter ina --r 0", "--r is 0; allowed: at least 1"),
    "no regular expression": (SST2 + " --adapter lora --target_modules (query", "--target_modules (query): missing ),"),
    "unknown module to save": (SST2 + " --adapter lora --modules_to_save poler", "--modules_to_save has 'poler'; allowed: ends of names"),
    "layer that is not there": (SST2 + " --adapter ina --layers_to_transform 9", "--target_modules key query value, --layers_to_transform 9): "),
    "level of the adapter": (SST2 + " --adapter ina --adapter_inhibition_level 1", "inhibition_level is 1.0; allowed: 0 <= p < 1"),
    "module that is not there": (SST2 + " --adapter lora --target_modules q_proj", "--target_modules q_proj): "),
    "no adapter to start from": (SST2 + " --adapter lora --init_adapter model", "--init_adapter is 'model', which is no adapter"),
    "start from another method": (SST2 + " --adapter vera --init_adapter trained", "it is of type lora, this run's is vera"),
    "start from another rank": (SST2 + " --adapter lora --init_adapter trained --r 4", "it was trained with r = 2, this run has 4"),
    "start from other modules": (SST2 + " --adapter lora --init_adapter trained --r 2 --target_modules key", "trained with target_modules = query value, this run has key"),
    "adapter trained on as a model": (SST2.replace("path model", "path trained"), "'trained' is an adapter; to train on from it give --init_adapter trained --adapter lora --model_name_or_path model"),
    "unknown recipe": ("--recipe XYZ", "--recipe is 'XYZ'; allowed: adalora/cola, "),
    "recipe without its adapter to start from": ("--recipe mtlora/rte model_name_or_path=model glue_dir=. task_name=sst2", "which is no adapter"),
    "unknown argument": (SST2 + " --overwrite_output_dir", "unknown arguments: --overwrite_output_dir"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, monkeypatch, capsys):
    words, says = BAD[name]
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), "--use_cpu"] if words.startswith(("--m", "--r")) else words.split())
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("run_glue: ")]
    assert caught.value.code == 2
    assert len(error) == 1 and error[0].startswith("run_glue: error: ") and says in error[0]


def test_good_input_does_reach_the_weights(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit):
        main([*SST2.split(), "--use_cpu", "--output_dir", "new"])
    assert "error: no weights at 'model'" in capsys.readouterr().err


def test_unloadable_dataset_names_the_alternatives(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    (place / "nothing").mkdir()
    with pytest.raises(SystemExit):
        main("--model_name_or_path model --dataset_name ./nothing --do_train --cache_dir cache".split())  # noqa: SIM905
    assert "Local data can be given with --glue_dir" in capsys.readouterr().err


def test_help_of_the_script_lists_everything(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_glue.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "run_glue.py"), run_name="__main__")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for word in ("--model_name_or_path", "--task_name", "--glue_dir", "--train_file", "--gi_query_side", "--ina_rank",
                 "--demo", "--adapter", "--init_adapter", "--adapter_lr", "--classifier_lr", "--recipe",
                 "--early_stopping_patience", "--learning_rate", "--resume_from_checkpoint"):  # fmt: skip
        assert word in shown


def test_demo_from_scratch(tmp_path, capsys):
    """The whole example with the tiny model, cut short; the accuracy is that of a model that has barely started."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        figures = main(f"--demo --from_scratch --train_rows 60 --epochs 1 --output_dir {tmp_path}".split())
        assert torch.get_num_threads() == 2  # the example runs with one and leaves the setting as it was
    finally:
        torch.set_num_threads(before)
    assert set(figures) == {
        f"{model}_{figure}"
        for model in ("stock", "gated")
        for figure in ("validation_accuracy", "heldout_accuracy", "train_seconds")
    }
    assert json.loads((tmp_path / "all_results.json").read_text()) == figures
    assert (tmp_path / "learning_curve.png").is_file()
    assert json.loads((tmp_path / "gated/config.json").read_text())["model_type"] == "bert_gi"
    assert json.loads((tmp_path / "stock/config.json").read_text())["model_type"] == "bert"
    assert "held-out pairs" in capsys.readouterr().out
    card = (tmp_path / "gated/README.md").read_text()
    assert "ginets glue --demo --from_scratch" in card and str(tmp_path) not in card


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--inhibition_level 1.5", "`inhibition_level` is 1.5"),
        ("--ina_rank 4", "`ina_rank` is 4"),
        ("--epochs 0", "--epochs is 0; it must be at least 1"),
        ("--train_rows -5", "--train_rows is -5; it must be at least 6"),
        ("--learning_rate 1", "unknown arguments: --learning_rate 1"),
    ],
)
def test_demo_refuses_bad_arguments_before_it_trains(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "run", lambda *args: pytest.fail("training had begun"))
    with pytest.raises(SystemExit) as caught:
        main(["--demo", "--from_scratch", "--output_dir", str(tmp_path), *words.split()])
    assert caught.value.code == 2 and says in capsys.readouterr().err


def test_gate_flags_of_the_demo_come_on_top_of_its_own(tmp_path, monkeypatch):
    gates = []

    def train(model_args, data_args, training_args, gate_args, command):
        gates.append(gate_args.given)
        folder = Path(training_args.output_dir)
        folder.mkdir()
        (folder / "trainer_state.json").write_text('{"log_history": []}')
        return {"eval_accuracy": 0.0, "predict_accuracy": 0.0, "train_runtime": 0.0}

    monkeypatch.setattr(demo, "run", train)
    demo.main(["--from_scratch", "--output_dir", str(tmp_path), "--inhibition_level", "0.1"])
    assert gates == [{}, {"gi_query_side": True, "gi_key_side": True, "inhibition_level": 0.1}]


def test_demo_takes_the_pretrained_model_where_installed(minilm):
    assert demo.pretrained_folder() == minilm

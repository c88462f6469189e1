"""The command `run_glue`: bad input ends in one line and exit code 2, before weights are read.

The model folder has no weights file at all, so a run that got as far as reading weights would end in another error.
"""

import json
import runpy
import sys
from pathlib import Path

import pytest

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
        "other.csv": "sentence,label\ngood,yes\n",
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
    "gate of another family": (SST2 + " --gi_query_side --ina_rank 4", "ina_rank"),
    "level without a side": (SST2 + " --inhibition_level 0.1", "gi_query_side"),
    "family without gates": (SST2.replace("path model", "path gpt2") + " --gi_query_side", "takes no gate flags"),
    "no tokenizer": (SST2 + " --tokenizer_name SST-2", "--tokenizer_name"),
    "no such checkpoint": (SST2 + " --resume_from_checkpoint gone", "'gone', which is no checkpoint folder"),
    "used output folder": (SST2 + " --output_dir old", "old holds checkpoints of an earlier run"),
    "patience without evaluation": (SST2.replace("--do_eval", "--early_stopping_patience 2"), "needs --do_eval"),
    "patience zero": (SST2 + " --early_stopping_patience 0", "at least 1"),
    "length zero": (SST2 + " --max_seq_length 0", "--max_seq_length is 0; it must be at least 1"),
    "best model of unequal strategies": (SST2 + " --save_strategy steps --load_best_model_at_end", "save and eval strategy"),
    "file of arguments": ("gone.yaml", "gone.yaml: there is no such file of arguments"),
    "unknown argument": (SST2 + " --overwrite_output_dir", "unknown arguments: --overwrite_output_dir"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, monkeypatch, capsys):
    words, says = BAD[name]
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), "--use_cpu"] if not words.endswith("yaml") else [words])
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
                 "--demo", "--early_stopping_patience", "--learning_rate", "--resume_from_checkpoint"):  # fmt: skip
        assert word in shown


def test_demo_from_scratch(tmp_path, capsys):
    """The whole example with the tiny model, cut short; the accuracy is that of a model that has barely started."""
    figures = demo.main(["--from_scratch", "--train_rows", "60", "--epochs", "1", "--output_dir", str(tmp_path)])
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


def test_demo_takes_the_pretrained_model_where_installed(minilm):
    assert demo.pretrained_folder() == minilm

"""The command `run_squad`: every bad input ends with code 2 and one line, before weights are read."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from ginets.cli import main as ginets_main
from ginets.recipes.squad import main, parse_all
from tests.recipes.squad_fixtures import make_model, make_squad


ROOT = Path(__file__).resolve().parents[1]
FILES = "--train_file train.json --validation_file dev.json"
RUN = f"--model_name_or_path model --max_seq_length 24 --doc_stride 8 --do_train --do_eval {FILES}"
SIMPLE = RUN.replace("train.json", "simple.json").replace("dev.json", "simple.json")
PREDICT = "--model_name_or_path model --do_predict"

BAD = {
    "no model": (f"--do_eval {FILES}", "--model_name_or_path is missing"),
    "nothing to do": (f"--model_name_or_path model {FILES}", "nothing to do; give --do_train"),
    "no data": ("--model_name_or_path model --do_train", "no data; give --dataset_name, or --train_file"),
    "no training file": ("--model_name_or_path model --do_train --validation_file dev.json", "--do_train needs --train_file"),
    "no test file": (f"{PREDICT} {FILES}", "--do_predict needs --test_file"),
    "two sources": (f"{RUN} --dataset_name squad", "both --train_file and --dataset_name"),
    "no such file": (RUN.replace("dev.json", "gone.json"), "gone.json: there is no such file"),
    "answers missing": (RUN.replace("dev.json", "open.json"), "open.json: there is no column 'answers'"),
    "answer not where it should be": (RUN.replace("dev.json", "off.json"), "answer_start is 3, where the context has"),
    "unanswerable, but version 1": (f"{RUN} --version_2_with_negative False", "there are questions without an answer"),
    "unanswerable in the test set alone": (f"{SIMPLE} --do_predict --test_file dev.json", "questions without an answer to predict"),
    "adapter without a base": ("--model_name_or_path adapter --do_eval --validation_file dev.json", "has no base_model_name_or_path"),
    "adapter that is no JSON": ("--model_name_or_path broken --do_eval --validation_file dev.json", "'broken' is not valid JSON"),
    "no room": (f"{RUN} --max_seq_length 12 --doc_stride 8", "doc_stride is 8 and max_seq_length 12"),
    "length zero": (f"{RUN} --max_seq_length 0", "--max_seq_length is 0; allowed: at least 1"),
    "stride below zero": (f"{RUN} --doc_stride -1", "--doc_stride is -1; allowed: at least 0"),
    "no candidates": (f"{RUN} --n_best_size 0", "--n_best_size is 0; allowed: at least 1"),
    "answers of no length": (f"{RUN} --max_answer_length 0", "--max_answer_length is 0; allowed: at least 1"),
    "no questions": (f"{RUN} --max_eval_samples 0", "--max_eval_samples is 0; allowed: at least 1"),
    "best by an unknown metric": (f"{RUN} --metric_for_best_model accuracy", "is 'accuracy'; here it can be f1, exact, HasAns_f1"),
    "smoothing": (f"{RUN} --label_smoothing_factor 0.1", "--label_smoothing_factor has no effect"),
    "gate level": (f"{RUN} --gi_query_side --inhibition_level 1.5", "`inhibition_level` is 1.5"),
    "slow tokenizer": (f"{RUN} --tokenizer_name slow", "no tokenizer at 'slow'"),
    "flag of an adapter without one": (f"{RUN} --lora_alpha 4", "--lora_alpha belongs to --adapter lora"),
    "module that is not there": (f"{RUN} --adapter ina --target_modules q_proj", "--target_modules q_proj): "),
    "unknown recipe": ("--recipe ina/mrpc", "--recipe is 'ina/mrpc'"),
    "unknown argument": (f"{RUN} --task_name squad", "unknown arguments: --task_name squad (--help lists all)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squad")
    (make_model(folder / "model") / "model.safetensors").unlink()  # whoever reads weights says so
    for name in ("train", "dev"):
        make_squad(folder / f"{name}.json", questions=9)
    make_squad(folder / "simple.json", questions=9, unanswerable=0)
    for name, content in (("adapter", '{"peft_type": "LORA"}'), ("broken", "{")):
        (folder / name).mkdir()
        (folder / name / "adapter_config.json").write_text(content)
    row = {"id": "q", "question": "Which metal?", "context": "it was of gold."}
    (folder / "open.json").write_text(json.dumps([row]))
    (folder / "off.json").write_text(json.dumps([row | {"answers": {"text": ["gold"], "answer_start": [3]}}]))
    return folder


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, monkeypatch, capsys):
    words, says = BAD[name]
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as caught:
        main([*words.split(), "--use_cpu"])
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("run_squad: ")]
    assert caught.value.code == 2
    assert len(error) == 1 and error[0].startswith("run_squad: error: ") and says in error[0]


def test_good_input_does_reach_the_weights(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit):
        main([*RUN.split(), "--use_cpu", "--output_dir", "new"])
    assert "error: no weights at 'model'" in capsys.readouterr().err


def test_arguments_of_the_stock_script_are_taken():
    """Those of its readme, with the defaults of its own dataclass."""
    words = "--model_name_or_path m --dataset_name squad --do_train --do_eval --max_seq_length 384 --doc_stride 128 \
        --output_dir /tmp/debug_squad/ --per_device_train_batch_size 12 --learning_rate 3e-5 --num_train_epochs 2 \
        --version_2_with_negative --preprocessing_num_workers 4 --overwrite_cache --pad_to_max_length false"
    _, _, _, data, training = parse_all(words.split())
    assert data.version_2_with_negative and training.learning_rate == 3e-5
    assert (data.n_best_size, data.max_answer_length, data.null_score_diff_threshold) == (20, 30, 0.0)


def test_file_of_arguments(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    content = {"model_name_or_path": "model", "do_eval": True, "validation_file": "dev.json", "doc_stride": -1}
    Path("mine.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        main(["mine.json"])
    assert "--doc_stride is -1" in capsys.readouterr().err


@pytest.mark.parametrize("door", ["script", "verb"])
def test_help_lists_everything(door, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run_squad.py", "--help"])
    with pytest.raises(SystemExit) as caught:
        if door == "verb":
            ginets_main(["squad", "--help"])
        runpy.run_path(str(ROOT / "run_squad.py"), run_name="__main__")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for word in ("--model_name_or_path", "--dataset_name", "--train_file", "--version_2_with_negative", "--doc_stride",
                 "--n_best_size", "--null_score_diff_threshold", "--gi_query_side", "--adapter", "--recipe", "--demo",
                 "--learning_rate", "--resume_from_checkpoint"):  # fmt: skip
        assert word in shown

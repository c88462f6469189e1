"""Adapters end to end with a tiny BERT: training, what is saved, resuming, evaluation of a folder, a trained start."""

import json
import subprocess
import sys

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from ginets.recipes.glue import main
from tests.recipes.glue_fixtures import make_model, make_sst2


WEIGHTS = "adapter_model.safetensors"
METHODS = {
    "lora": ["--r", "4", "--target_modules", "query", "key", "value"],
    "adalora": ["--init_r", "6", "--target_r", "2", "--tinit", "5", "--tfinal", "25"],
    "vera": ["--r", "8"],
    "ina": ["--r", "4", "--adapter_inhibition_level", "0.3"],
    "mtlora": ["--r", "4", "--structure", "DTSM"],
    "aflora": ["--r", "4", "--freeze_start", "0.1", "--freeze_end", "0.6", "--freeze_window", "5"],
    "sora": ["--r", "4", "--sparse_lambda", "0.2"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base that knows the words (fine-tuned once, its head thrown away), and other rows of the same task."""
    folder = tmp_path_factory.mktemp("glue")
    torch.manual_seed(0)
    start = {"model": make_model(folder / "start"), "data": make_sst2(folder / "before", seed=1)}
    main([*words(start, folder / "first", "--max_steps", "50", epochs=1), "--learning_rate", "1e-2"])
    model = make_model(folder / "model", weights=False)
    AutoModelForSequenceClassification.from_pretrained(folder / "first").bert.save_pretrained(model)
    return {"model": model, "data": make_sst2(folder / "data")}


def words(place, output, *more, epochs=3):
    return [
        "--model_name_or_path", str(place["model"]), "--task_name", "sst2", "--glue_dir", str(place["data"]),
        "--output_dir", str(output), "--do_train", "--do_eval", "--num_train_epochs", str(epochs),
        "--learning_rate", "2e-2", "--per_device_train_batch_size", "8", "--use_cpu", "--disable_tqdm", "True",
        *map(str, more),
    ]  # fmt: skip


@pytest.fixture(scope="module", params=METHODS)
def finished(request, place, tmp_path_factory):
    """One uninterrupted run of each method: its name, folder and figures."""
    output = tmp_path_factory.mktemp(request.param) / "out"
    figures = main(words(place, output, "--adapter", request.param, *METHODS[request.param], "--do_predict"))
    return request.param, output, figures


def test_figures_and_files(finished):
    method, output, figures = finished
    assert figures["eval_accuracy"] > 0.9
    saved = json.loads((output / "all_results.json").read_text())
    assert saved["adapter"] == method
    tensors = load_file(output / WEIGHTS)
    head = sum(tensor.numel() for name, tensor in tensors.items() if "classifier" in name)
    assert saved["trainable_parameters"] - saved["trainable_parameters_without_head"] == head == 2 * 16 + 2
    assert not (output / "model.safetensors").exists() and not (output / "config.json").exists()
    assert json.loads((output / "adapter_config.json").read_text())["task_type"] == "SEQ_CLS"
    card = (output / "README.md").read_text()
    for part in ("library_name: peft", f"Method: {method}.", "trainable_parameters_without_head", 'subfolder="base"'):
        assert part in card


def predictions(place, model, tokenizer):
    lines = [line.split("\t") for line in (place["data"] / "SST-2/dev.tsv").read_text().splitlines()[1:]]
    model.eval()
    with torch.no_grad():
        ids = [model(**tokenizer(text, return_tensors="pt")).logits.argmax().item() for text, _ in lines]
    return [("negative", "positive")[i] for i in ids]


def test_predictions_are_those_of_the_saved_adapter(finished, place):
    """Loaded as the card says, with PEFT alone, and by the recipe: all agree with what the run wrote."""
    method, output, _ = finished
    written = [line.split("\t")[1] for line in (output / "predictions_validation.tsv").read_text().splitlines()[1:]]
    tokenizer = AutoTokenizer.from_pretrained(output)
    config = AutoConfig.from_pretrained(output, subfolder="base")
    assert config.id2label == {0: "negative", 1: "positive"}
    base = AutoModelForSequenceClassification.from_pretrained(place["model"], config=config)
    assert predictions(place, PeftModel.from_pretrained(base, output), tokenizer) == written
    assert predictions(place, AutoPeftModelForSequenceClassification.from_pretrained(output), tokenizer) == written
    if method != "vera":  # PEFT: "does not support VERA because it uses shared state"
        assert predictions(place, AutoModelForSequenceClassification.from_pretrained(output), tokenizer) == written


def test_evaluation_of_an_adapter_folder(finished, place, tmp_path):
    _, output, figures = finished
    command = words({**place, "model": output}, tmp_path / "again")
    command.remove("--do_train")
    again = main(command)
    assert again["eval_accuracy"] == figures["eval_accuracy"]
    assert again["eval_loss"] == pytest.approx(figures["eval_loss"], abs=1e-6)


def test_resuming_equals_an_uninterrupted_run(finished, place, tmp_path):
    method, whole, figures = finished
    earliest = min(whole.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert earliest.name != "checkpoint-75"  # the last of 3 epochs of 25 steps
    command = words(place, tmp_path / "out", "--adapter", method, *METHODS[method])
    again = main([*command, "--resume_from_checkpoint", str(earliest)])
    assert again["eval_loss"] == figures["eval_loss"]
    expected, got = (load_file(folder / WEIGHTS) for folder in (whole, tmp_path / "out"))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)

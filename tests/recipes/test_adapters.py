"""Adapters end to end with a tiny BERT: training, what is saved, resuming, evaluation of a folder, a trained start."""

import json
import shutil

import pytest
import torch
from peft import AdaLoraConfig, AutoPeftModelForSequenceClassification, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, set_seed

from ginets.recipes.glue import main
from tests.recipes.glue_fixtures import make_model, make_sst2


WEIGHTS = "adapter_model.safetensors"
METHODS = {
    "lora": ["--r", "4", "--target_modules", "query", "key", "value"],
    "adalora": ["--init_r", "6", "--target_r", "2", "--tinit", "5", "--tfinal", "10"],
    "vera": ["--r", "8"],
    "ina": ["--r", "4", "--adapter_inhibition_level", "0.3"],
    "mtlora": ["--r", "4", "--structure", "DTSM"],
    "aflora": ["--r", "4", "--freeze_start", "0.1", "--freeze_end", "0.6", "--freeze_window", "3"],
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
    return {"model": model, "data": make_sst2(folder / "data", rows=96)}


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


def test_picture_of_freezing(finished):
    """AFLoRA's map of freezing steps, in the folder and in the card; other methods have none."""
    method, output, _ = finished
    freezes = method == "aflora"
    assert (output / "freeze_map.png").exists() == freezes
    assert ("(freeze_map.png)" in (output / "README.md").read_text()) == freezes
    assert not freezes or (output / "freeze_map.png").read_bytes().startswith(b"\x89PNG")


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
    assert earliest.name != "checkpoint-36"  # the last of 3 epochs of 12 steps
    command = words(place, tmp_path / "out", "--adapter", method, *METHODS[method])
    again = main([*command, "--resume_from_checkpoint", str(earliest)])
    assert again["eval_loss"] == figures["eval_loss"]
    expected, got = (load_file(folder / WEIGHTS) for folder in (whole, tmp_path / "out"))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


@pytest.mark.parametrize("steps", [8, 20, 30])
def test_resuming_adalora_in_each_phase(steps, place, tmp_path):
    """Warm-up, allocation and final phase (tinit 10, tfinal 10 of 36 steps); then ranks are what the budget says."""
    options = ["--adapter", "adalora", "--init_r", "6", "--target_r", "2", "--tinit", "10", "--tfinal", "10"]
    saving = ["--save_strategy", "steps", "--save_steps", steps, "--eval_strategy", "no", "--save_total_limit", "9"]
    main([*words(place, tmp_path / "whole", *options, *saving)])
    checkpoint = tmp_path / f"whole/checkpoint-{steps}"
    main([*words(place, tmp_path / "again", *options, *saving), "--resume_from_checkpoint", str(checkpoint)])
    expected, got = (load_file(tmp_path / run / WEIGHTS) for run in ("whole", "again"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    left = [int(tensor.count_nonzero()) for name, tensor in got.items() if "lora_E" in name]
    assert sum(left) == 2 * len(left)


def test_adalora_allocates_as_a_loop_of_ones_own(place, tmp_path):
    """Against PEFT's documented use, `update_and_allocate` after each step, without a Trainer or its callbacks."""
    options = ["--adapter", "adalora", "--init_r", "6", "--target_r", "2", "--tinit", "3", "--tfinal", "2"]
    plain = ["--train_sampling_strategy", "sequential", "--max_steps", "12", "--lr_scheduler_type", "constant",
             "--max_grad_norm", "0", "--eval_strategy", "no", "--save_strategy", "no"]  # fmt: skip
    model = shutil.copytree(place["model"], tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (model / "config.json").write_text(json.dumps(config | without))
    main(words({**place, "model": model}, tmp_path / "out", *options, *plain))
    got = load_file(tmp_path / "out" / WEIGHTS)

    set_seed(42)
    config = AutoConfig.from_pretrained(tmp_path / "out", subfolder="base")
    base = AutoModelForSequenceClassification.from_pretrained(place["model"], config=config)
    settings = AdaLoraConfig(task_type="SEQ_CLS", init_r=6, target_r=2, tinit=3, tfinal=2, total_step=12)
    model = get_peft_model(base, settings)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2, weight_decay=0.0)
    tokenizer = AutoTokenizer.from_pretrained(place["model"])
    rows = [line.split("\t") for line in (place["data"] / "SST-2/train.tsv").read_text().splitlines()[1:]]
    for step in range(12):
        texts, labels = zip(*rows[8 * step : 8 * step + 8], strict=True)
        inputs = tokenizer(list(texts), return_tensors="pt", padding=True)
        model(**inputs, labels=torch.tensor([int(label) for label in labels])).loss.backward()
        optimizer.step()
        model.base_model.update_and_allocate(step + 1)
        optimizer.zero_grad()
    values = {name: parameter for name, parameter in model.named_parameters() if "lora_E" in name}
    assert len(values) == 2
    for name, parameter in values.items():
        torch.testing.assert_close(got[name.replace(".default", "")], parameter.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_resuming_in_the_middle_of_a_later_epoch(adapter, place, tmp_path):
    """Rows are grouped by length, which draws an order anew in each epoch."""
    saving = ["--adapter", adapter, "--save_strategy", "steps", "--save_steps", "20", "--eval_strategy", "no"]
    main([*words(place, tmp_path / "whole", *saving)])
    checkpoint = str(tmp_path / "whole/checkpoint-20")
    main([*words(place, tmp_path / "again", *saving), "--resume_from_checkpoint", checkpoint])
    name = "model.safetensors" if adapter == "none" else WEIGHTS
    expected, got = (load_file(tmp_path / run / name) for run in ("whole", "again"))
    assert all(torch.equal(expected[name], got[name]) for name in expected)

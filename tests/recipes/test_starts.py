"""Starting from a trained adapter, adapters on gated models, DeBERTa's pooler, real rows of MRPC."""

import json
import logging
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from ginets.recipes.arguments import ArgumentsError, ModelArguments
from ginets.recipes.glue import main
from ginets.recipes.heads import CLASSIFICATION, QUESTION_ANSWERING
from ginets.recipes.saved_adapters import check_task, find_adapter, save_base_config
from tests.recipes.glue_fixtures import make_model, make_sst2


WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    torch.manual_seed(0)
    return {"model": make_model(folder / "model"), "data": make_sst2(folder / "data", rows=64)}


def words(place, output, *more):
    return [
        "--model_name_or_path", str(place["model"]), "--task_name", "sst2", "--glue_dir", str(place["data"]),
        "--output_dir", str(output), "--do_train", "--num_train_epochs", "1", "--save_strategy", "no",
        "--learning_rate", "1e-2", "--per_device_train_batch_size", "8", "--use_cpu", "--disable_tqdm", "True",
        *map(str, more),
    ]  # fmt: skip


def three_classes(place, folder):
    """The same texts with a third class, as a file."""
    rows = [{"sentence": line.split("\t")[0], "label": ["a", "b", "c"][i % 3]}
            for i, line in enumerate((place["data"] / "SST-2/train.tsv").read_text().splitlines()[1:])]  # fmt: skip
    path = folder / "three.json"
    path.write_text(json.dumps(rows))
    command = words(place, folder / "three", "--train_file", path)
    for name in ("--task_name", "--glue_dir"):
        del command[(at := command.index(name)) : at + 2]
    return command


METHODS = {
    "lora": ["--r", "2"],
    "vera": ["--r", "4"],
    "ina": ["--r", "2"],
    "mtlora": ["--r", "2"],
    "aflora": ["--r", "2", "--freeze_end", "0.5"],
}


@pytest.mark.parametrize("method", METHODS)
def test_the_adapter_is_loaded_and_a_head_of_another_size_is_fresh(method, place, tmp_path, caplog):
    options = ["--adapter", method, *METHODS[method]]
    main([*three_classes(place, tmp_path), *options])
    caplog.set_level(logging.INFO, "ginets")
    still = ["--learning_rate", "0", "--weight_decay", "0", "--init_adapter", tmp_path / "three"]
    main([*words(place, tmp_path / "two", *options), *map(str, still)])
    trained, started = (load_file(tmp_path / name / WEIGHTS) for name in ("three", "two"))
    assert trained.keys() == started.keys()
    for name, tensor in trained.items():
        if "classifier" in name:
            assert tensor.shape[0] == 3 and started[name].shape[0] == 2
        else:
            assert torch.equal(tensor, started[name])
    (line,) = [record.getMessage() for record in caplog.records if "Started from" in record.getMessage()]
    assert "base_model.model.classifier.bias, base_model.model.classifier.weight" in line

    main([*words(place, tmp_path / "same", *options), "--learning_rate", "0", "--init_adapter", str(tmp_path / "two")])
    again = load_file(tmp_path / "same" / WEIGHTS)
    assert all(torch.equal(tensor, again[name]) for name, tensor in started.items())


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda tensors: {**tensors, "base_model.model.bert.x.lora_A.weight": torch.zeros(1)}, "only the adapter (or checkpoint"),
        (lambda tensors: {name: t for name, t in tensors.items() if "lora_B" not in name}, "only the run has"),
        (lambda tensors: {name: t[:, :1].contiguous() if "lora_B" in name else t for name, t in tensors.items()},
         "the run needs"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_those_of_the_run(edit, says, place, tmp_path, capsys):
    options = ["--adapter", "lora", "--r", "2"]
    main(words(place, tmp_path / "first", *options))
    save_file(edit(load_file(tmp_path / "first" / WEIGHTS)), tmp_path / "first" / WEIGHTS)
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "out", *options, "--init_adapter", tmp_path / "first"))
    assert says in capsys.readouterr().err


def test_weights_of_an_adapter_must_be_safetensors(place, tmp_path, capsys):
    options = ["--adapter", "lora", "--r", "2"]
    main(words(place, tmp_path / "first", *options))
    tensors = load_file(tmp_path / "first" / WEIGHTS)
    (tmp_path / "first" / WEIGHTS).unlink()
    torch.save(tensors, tmp_path / "first/adapter_model.bin")
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "out", *options, "--init_adapter", tmp_path / "first"))
    assert "there is no adapter_model.safetensors" in capsys.readouterr().err
    evaluate = ["--model_name_or_path", str(tmp_path / "first"), "--task_name", "sst2", "--do_eval", "--use_cpu",
                "--glue_dir", str(place["data"]), "--output_dir", str(tmp_path / "out")]  # fmt: skip
    with pytest.raises(SystemExit):
        main(evaluate)
    assert "there is no adapter_model.safetensors" in capsys.readouterr().err


CARD = """
import sys, torch
from transformers import AutoTokenizer
exec(sys.argv[1])
model.eval()
inputs = AutoTokenizer.from_pretrained(sys.argv[2])("a good film", return_tensors="pt")
print(type(model.get_base_model()).__name__, model(**inputs).logits.tolist())
"""


def test_adapter_on_a_gated_model(place, tmp_path):
    """The gates are trained and saved with the adapter; the snippet of the card loads all of it in a new process."""
    gates = ["--gi_query_side", "--inhibition_level", "0.1"]
    output = tmp_path / "out"
    main(words(place, output, "--adapter", "ina", "--r", "2", "--adapter_inhibition_level", "0.5", *gates))
    tensors = load_file(output / WEIGHTS)
    select = tensors["base_model.model.bert.encoder.layer.0.attention.self.select_q.weight"]
    assert select.count_nonzero()
    config = AutoConfig.from_pretrained(output, subfolder="base")
    assert config.model_type == "bert_gi" and config.inhibition_level == 0.1
    assert json.loads((output / "adapter_config.json").read_text())["inhibition_level"] == 0.5
    card = (output / "README.md").read_text()
    snippet = card.split("```python\n")[1].split("```")[0]
    assert f'"{place["model"].name}"' in snippet
    snippet = snippet.replace(f'"{place["model"].name}"', repr(str(place["model"]))).replace(
        '"out"', repr(str(output))
    )
    run = subprocess.run([sys.executable, "-c", CARD, snippet, str(output)], capture_output=True, text=True)
    base = AutoModelForSequenceClassification.from_pretrained(place["model"], config=config)
    model = PeftModel.from_pretrained(base, output).eval()
    logits = model(**AutoTokenizer.from_pretrained(output)("a good film", return_tensors="pt")).logits.tolist()
    assert run.stdout == f"BertGIForSequenceClassification {logits}\n", run.stderr[-1000:]

    evaluate = ["--model_name_or_path", str(output), "--task_name", "sst2", "--glue_dir", str(place["data"]),
                "--output_dir", str(tmp_path / "again"), "--do_eval", "--do_predict", "--use_cpu"]  # fmt: skip
    assert "eval_accuracy" in main(evaluate)


def test_own_learning_rates(place, tmp_path):
    """A rate of zero leaves a part where it started: seen in the saved tensors."""
    runs = {"both": [], "adapter": ["--classifier_lr", "0"], "head": ["--adapter_lr", "0"]}
    tensors = {}
    for name, rates in runs.items():
        main(words(place, tmp_path / name, "--adapter", "lora", "--r", "2", *rates))
        tensors[name] = load_file(tmp_path / name / WEIGHTS)
    head = "base_model.model.classifier.bias"
    (lora_b, *_) = [name for name in tensors["both"] if "lora_B" in name]
    moved = {
        name: (bool(each[lora_b].count_nonzero()), bool(each[head].count_nonzero())) for name, each in tensors.items()
    }
    assert moved == {"both": (True, True), "adapter": (True, False), "head": (False, True)}


@pytest.mark.parametrize("method", ["lora", "ina", "mtlora", "aflora", "sora"])
def test_real_rows_of_mrpc(method, data_dir, minilm, tmp_path):
    """A few steps of a pretrained model; what is saved predicts the same when it is evaluated on its own."""
    common = ["--task_name", "mrpc", "--glue_dir", str(data_dir / "glue"), "--max_eval_samples", "32", "--use_cpu",
              "--do_eval", "--max_seq_length", "48", "--disable_tqdm", "True"]  # fmt: skip
    train = ["--model_name_or_path", str(minilm), "--adapter", method, "--do_train", "--max_steps", "4", "--r", "4",
             "--learning_rate", "1e-3", "--classifier_lr", "1e-2", "--output_dir", str(tmp_path / "out"),
             "--eval_strategy", "steps", "--per_device_train_batch_size", "4", "--eval_steps", "2", "--save_steps", "2"]  # fmt: skip
    figures = main([*common, *train])
    again = main([*common, "--model_name_or_path", str(tmp_path / "out"), "--output_dir", str(tmp_path / "again")])
    assert again["eval_f1"] == figures["eval_f1"] and again["eval_loss"] == pytest.approx(
        figures["eval_loss"], abs=1e-6
    )
    assert figures["trainable_parameters"] - figures["trainable_parameters_without_head"] == 384 * 2 + 2


def test_an_adapter_for_another_task_is_refused(place, tmp_path, capsys):
    """Its head would be left out, and the one that is needed be random."""
    base = AutoModelForQuestionAnswering.from_config(AutoConfig.from_pretrained(make_model(tmp_path / "model")))
    for task in (None, "QUESTION_ANS"):
        folder = tmp_path / str(task)
        config = LoraConfig(
            r=2, target_modules=["query"], task_type=task, base_model_name_or_path=str(tmp_path / "model")
        )
        adapted = get_peft_model(base, config)
        adapted.save_pretrained(folder)
        save_base_config(adapted, folder)
        base = adapted.unload()
        adapter = find_adapter(str(folder), ModelArguments())
        check_task(adapter, QUESTION_ANSWERING)
        with pytest.raises(ArgumentsError, match="was trained with a head for QuestionAnswering, not for SequenceCl"):
            check_task(adapter, CLASSIFICATION)
        options = ["--adapter", "lora", "--r", "2", "--target_modules", "query", "--init_adapter", folder]
        with pytest.raises(SystemExit):
            main(words(place, tmp_path / "out", *options))
        assert f"{str(folder)!r} was trained with a head for QuestionAnswering, not for" in capsys.readouterr().err

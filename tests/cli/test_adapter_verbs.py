"""`ginets fold`, `ginets to-lora`, `ginets convert`: what they write, and one line with exit code 2 for bad input."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
)

from ginets import BertGIForSequenceClassification, InAConfig
from ginets.cli import main
from tests.tiny import config as tiny_config
from tests.tiny import inputs, stock_config


HEADS = {"CAUSAL_LM": LlamaForCausalLM, "SEQ_CLS": LlamaForSequenceClassification}


def write(folder, base, **fields):
    """A base and a live adapter on disk; returns the adapted model. The adapter may have more labels than the base."""
    base.save_pretrained(folder / "base")
    model = get_peft_model(base, InAConfig(init_weights=False, **fields)).eval()
    model.save_pretrained(folder / "adapter")
    return model


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("task,auto_class", [
    ("CAUSAL_LM", AutoModelForCausalLM),
    ("SEQ_CLS", AutoModelForSequenceClassification),
    (None, AutoModelForCausalLM),  # the adapter names the class it was made on
])  # fmt: skip
def test_fold(task, auto_class, tmp_path, capsys):
    head = HEADS[task or "CAUSAL_LM"]
    model = write(tmp_path, head(stock_config("llama_ina", num_labels=3)), task_type=task)
    if task == "SEQ_CLS":  # a base checkpoint does not know the labels of the adapter's head
        file = tmp_path / "base" / "config.json"
        settings = json.loads(file.read_text())
        settings.pop("id2label", None), settings.pop("label2id", None)
        file.write_text(json.dumps(settings))
        weights = load_file(tmp_path / "base" / "model.safetensors")
        weights.pop("score.weight")
        save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    assert run("fold", *(tmp_path / name for name in ("base", "adapter", "native"))) == 0
    assert f"LlamaInA{head.__name__.removeprefix('Llama')}" in capsys.readouterr().out
    native = auto_class.from_pretrained(tmp_path / "native").eval()
    torch.testing.assert_close(native(**inputs()).logits, model(**inputs()).logits, rtol=0, atol=1e-5)


def test_fold_for_question_answering(tmp_path):
    """Its head calls `transformer` what the checkpoint of the base calls `model`."""
    model = LlamaForQuestionAnswering(stock_config("llama_ina"))
    base = LlamaForCausalLM(stock_config("llama_ina"))
    base.model.load_state_dict(model.transformer.state_dict())
    base.save_pretrained(tmp_path / "base")
    model = get_peft_model(model, InAConfig(init_weights=False, modules_to_save=["qa_outputs"])).eval()
    model.save_pretrained(tmp_path / "adapter")
    assert run("fold", *(tmp_path / name for name in ("base", "adapter", "native"))) == 0
    native = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "native").eval()
    torch.testing.assert_close(native(**inputs()).start_logits, model(**inputs()).start_logits, rtol=0, atol=1e-5)


def test_to_lora_keeps_gates_that_were_trained_beside_the_adapter(tmp_path):
    """They are in the adapter, and the config that has them in its folder `base`."""
    config = tiny_config("bert_gi", gi_key_side=True, num_labels=3)
    gated = BertGIForSequenceClassification(config)
    stock = {
        name: tensor for name, tensor in gated.state_dict().items() if "_k." not in name and "classifier" not in name
    }
    (tmp_path / "base").mkdir()
    save_file(stock, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    stock_config("bert_gi").save_pretrained(tmp_path / "base")
    parts = ["classifier", "inhibition_k", "select_k"]
    fields = {"task_type": "SEQ_CLS", "inhibition_level": 0, "target_modules": ["query"], "modules_to_save": parts}
    model = get_peft_model(gated, InAConfig(init_weights=False, **fields)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "modules_to_save" in name:
                parameter.normal_()
    model.save_pretrained(tmp_path / "adapter")
    config.save_pretrained(tmp_path / "adapter" / "base")
    assert run("to-lora", *(tmp_path / name for name in ("base", "adapter", "lora"))) == 0
    base = BertGIForSequenceClassification.from_pretrained(tmp_path / "base", config=config)
    lora = PeftModel.from_pretrained(base, tmp_path / "lora").eval()
    torch.testing.assert_close(lora(**inputs()).logits, model(**inputs()).logits, rtol=0, atol=1e-5)


def test_to_lora(tmp_path):
    """On a model that is no Llama."""
    base = BertForSequenceClassification(stock_config("bert_gi"))
    model = write(tmp_path, base, task_type="SEQ_CLS", inhibition_level=0)
    assert run("to-lora", *(tmp_path / name for name in ("base", "adapter", "lora"))) == 0
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    stock = BertForSequenceClassification.from_pretrained(tmp_path / "base")
    lora = PeftModel.from_pretrained(stock, tmp_path / "lora").eval()
    torch.testing.assert_close(lora(**inputs()).logits, model(**inputs()).logits, rtol=0, atol=1e-5)


def original(folder, **changes):
    """An adapter in the format of the original code."""
    folder.mkdir()
    place = "base_model.model.bert.encoder.layer.0.attention.self.query.lora_"
    save_file(
        {f"{place}A.weight": torch.randn(4, 32), f"{place}B.weight": torch.randn(32, 4)},
        folder / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "r": 4, "target_modules": ["query"], "lora_alpha": 8, "lora_inhibition": 0.3}
    (folder / "adapter_config.json").write_text(json.dumps(settings | changes))


def test_convert(tmp_path, capsys):
    original(tmp_path / "theirs")
    assert run("convert", tmp_path / "theirs", tmp_path / "ours") == 0
    assert "rank 4, inhibition_level 0.3" in capsys.readouterr().out
    assert json.loads((tmp_path / "ours" / "adapter_config.json").read_text())["peft_type"] == "GINETS_INA"
    original(tmp_path / "silent", lora_inhibition=None)
    assert run("convert", tmp_path / "silent", tmp_path / "told", "--inhibition_level", 0.5) == 0
    assert json.loads((tmp_path / "told" / "adapter_config.json").read_text())["inhibition_level"] == 0.5


def refused(arguments, text, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and text in error.splitlines()[-1]
    assert error.count("error:") == 1 and error.startswith(f"ginets {arguments[0]}: error: ")


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    original(tmp_path / "theirs", use_dora=True)
    refused(["convert", tmp_path / "nowhere", tmp_path / "new"], "adapter_config.json", capsys)
    refused(["convert", tmp_path / "theirs", tmp_path / "new"], "use_dora", capsys)
    refused(["convert", tmp_path / "theirs"], "DST", capsys)
    base = BertForSequenceClassification(stock_config("bert_gi"))
    base = write(tmp_path, base, task_type="SEQ_CLS").unload()
    here = [tmp_path / "base", tmp_path / "adapter", tmp_path / "new"]
    refused(["fold", *here], "BertForSequenceClassification", capsys)
    refused(["to-lora", *here], "inhibition_level", capsys)
    refused(["fold", tmp_path / "base", tmp_path / "nowhere", tmp_path / "new"], "nowhere", capsys)
    refused(["fold", tmp_path / "nowhere", tmp_path / "adapter", tmp_path / "new"], "nowhere", capsys)
    get_peft_model(base, LoraConfig(task_type="SEQ_CLS")).save_pretrained(tmp_path / "lora")
    refused(["to-lora", tmp_path / "base", tmp_path / "lora", tmp_path / "new"], "LoraModel", capsys)
    refused(["to-lora"], "BASE", capsys)
    refused(["fold", tmp_path / "base", tmp_path / "base", tmp_path / "new"], "no adapter_config.json", capsys)
    torch.save(load_file(tmp_path / "base" / "model.safetensors"), tmp_path / "base" / "pytorch_model.bin")
    (tmp_path / "base" / "model.safetensors").unlink()
    for verb in ("fold", "to-lora"):  # pickles are not read
        refused([verb, *here], "no weights at", capsys)
    for verb in ("fold", "to-lora"):
        refused(
            [verb, tmp_path / "base", tmp_path / "adapter", tmp_path / "base"], "base is there and not empty", capsys
        )
    assert not (tmp_path / "new").exists()

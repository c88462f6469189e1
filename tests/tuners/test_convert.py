"""Adapters in the format of the original code: real ones against the formula, synthetic ones for what they lack."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

import ginets
from tests.reference.gates import branch
from tests.tiny import inputs, stock_config


PREFIX = "base_model.model."
SETTINGS = {
    "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": "bert-large-cased", "bias": "none",
    "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layer_replication": None,
    "layers_pattern": None, "layers_to_transform": None, "loftq_config": {}, "lora_alpha": 16, "lora_dropout": 0.1,
    "lora_inhibition": 0.3, "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None,
    "peft_type": "LORA", "r": 4, "rank_pattern": {}, "revision": None, "target_modules": ["query", "value"],
    "task_type": "SEQ_CLS", "use_dora": False, "use_rslora": False,
}  # fmt: skip


def attach(stock, weights: dict, level: float, scaling: float):
    """Adds the branch of the original files to every layer of `stock` that they name, and their head."""
    for key, A in weights.items():
        if key.endswith(".lora_A.weight"):
            B = weights[key.replace("lora_A", "lora_B")]

            def add(module, args, output, A=A, B=B):
                return output + branch(args[0], A, B, level, scaling)

            stock.get_submodule(key.removeprefix(PREFIX).removesuffix(".lora_A.weight")).register_forward_hook(add)
    head = {key.removeprefix(PREFIX): value for key, value in weights.items() if "lora_" not in key}
    stock.load_state_dict(head, strict=False)


@pytest.mark.parametrize("task", ["cola", "rte"])
@pytest.mark.parametrize("level", [0.0, 0.3])
def test_the_published_adapters(task, level, data_dir, tmp_path):
    """All 24 layers of the attention of BERT-large; the feed-forward parts, which they leave alone, are narrow."""
    source = data_dir / "checkpoints" / "ina_bert_large_cased" / task / f"InA{round(level * 100):02d}"
    config = ginets.convert_adapter(source, tmp_path / "ours")
    assert (config.r, config.ina_alpha, config.ina_dropout, config.inhibition_level) == (4, 16, 0.1, level)
    weights = load_file(source / "adapter_model.safetensors")
    ours = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    assert len(ours) == len(weights) == 146 and not any("lora" in name for name in ours)

    shape = BertConfig(
        vocab_size=99, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=16
    )
    stock = BertForSequenceClassification(shape).eval()
    base = BertForSequenceClassification(shape).eval()
    base.load_state_dict(stock.state_dict())
    model = PeftModel.from_pretrained(base, tmp_path / "ours").eval()
    loaded = {name.replace(".default", ""): tensor for name, tensor in model.state_dict().items()}
    for name, tensor in ours.items():
        assert torch.equal(loaded[name.replace("classifier.", "classifier.modules_to_save.")], tensor), name
    without = stock(**inputs()).logits
    attach(stock, weights, level, scaling=4.0)
    with torch.no_grad():
        expected = stock(**inputs(), output_hidden_states=True)
        got = model(**inputs(), output_hidden_states=True)
        for hidden, reference in zip(got.hidden_states, expected.hidden_states, strict=True):
            torch.testing.assert_close(hidden, reference, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(got.logits, expected.logits, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(without, expected.logits, atol=1e-2)


def write(folder, weights: dict | None = None, **changes):
    """An adapter in the original format: of a tiny BERT's query and value unless `weights` are given."""
    folder.mkdir(parents=True, exist_ok=True)
    if weights is None:
        weights = {}
        for layer in range(3):
            for name in ("query", "value"):
                place = f"{PREFIX}bert.encoder.layer.{layer}.attention.self.{name}.lora_"
                weights |= {f"{place}A.weight": torch.randn(4, 32), f"{place}B.weight": torch.randn(32, 4)}
        weights |= {f"{PREFIX}classifier.weight": torch.randn(2, 32), f"{PREFIX}classifier.bias": torch.randn(2)}
    save_file(weights, folder / "adapter_model.safetensors")
    settings = {name: value for name, value in (SETTINGS | changes).items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return weights


@pytest.mark.parametrize("changes,level,scaling", [
    ({}, 0.3, 4.0),
    ({"lora_inhibition": 0.9, "use_rslora": True}, 0.9, 8.0),
    ({"lora_inhibition": 0.0, "lora_alpha": 6}, 0.0, 1.5),
], ids=str)  # fmt: skip
def test_fields_in_other_settings(changes, level, scaling, tmp_path):
    weights = write(tmp_path / "theirs", **changes)
    ginets.convert_adapter(tmp_path / "theirs", str(tmp_path / "ours"))
    stock, base = (BertForSequenceClassification(stock_config("bert_gi")).eval() for _ in range(2))
    base.load_state_dict(stock.state_dict())
    model = PeftModel.from_pretrained(base, tmp_path / "ours").eval()
    attach(stock, weights, level, scaling)
    torch.testing.assert_close(model(**inputs()).logits, stock(**inputs()).logits, rtol=1e-5, atol=1e-5)


def test_at_level_zero_it_is_what_peft_makes_of_the_file(tmp_path):
    """Embedding, fused Conv1D, whole modules: written by PEFT's LoRA itself, plus the field of the fork."""
    base = GPT2LMHeadModel(GPT2Config(vocab_size=99, n_embd=32, n_layer=2, n_head=4, n_positions=64)).eval()
    state = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    settings = {"target_modules": ["wte", "c_attn"], "modules_to_save": ["ln_f"], "init_lora_weights": False}
    lora = get_peft_model(base, LoraConfig(r=4, fan_in_fan_out=True, layers_to_transform=None, **settings)).eval()
    with torch.no_grad():
        lora.base_model.model.transformer.ln_f.modules_to_save.default.weight.normal_()
    lora.save_pretrained(tmp_path / "theirs", save_embedding_layers=False)
    expected = lora(**inputs()).logits
    file = tmp_path / "theirs" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_inhibition": 0.0}))
    ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")
    fresh = GPT2LMHeadModel(base.config).eval()
    fresh.load_state_dict(state)
    model = PeftModel.from_pretrained(fresh, tmp_path / "ours").eval()
    assert torch.equal(model(**inputs()).logits, expected)


def test_what_the_files_do_not_say_can_be_told(tmp_path):
    write(tmp_path / "theirs", lora_inhibition=...)
    with pytest.raises(ValueError, match=r"no lora_inhibition.*inhibition_level"):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()
    for level in (0, 0.5):
        config = ginets.convert_adapter(tmp_path / "theirs", tmp_path / f"ours{level}", inhibition_level=level)
        assert config.inhibition_level == level
        assert json.loads((tmp_path / f"ours{level}" / "adapter_config.json").read_text())["inhibition_level"] == level
    write(tmp_path / "old")
    assert ginets.convert_adapter(tmp_path / "old", tmp_path / "new", activation="none").activation == "none"


@pytest.mark.parametrize("changes,named", [
    ({"use_dora": True}, "use_dora = True"),
    ({"bias": "all"}, "bias = 'all'"),
    ({"layer_replication": [[0, 2]]}, "layer_replication"),
    ({"loftq_config": {"loftq_bits": 4}}, "loftq_config"),
    ({"from_the_future": 1, "use_dora": True}, "from_the_future = 1, use_dora = True"),
    ({"peft_type": "ADALORA"}, "peft_type is 'ADALORA'"),
    ({"lora_inhibition": -0.1}, "inhibition_level is -0.1"),
    ({"lora_inhibition": 1.0}, "inhibition_level is 1.0"),
    ({"r": 0}, "r is 0"),
], ids=str)  # fmt: skip
def test_settings_that_are_refused(changes, named, tmp_path):
    write(tmp_path / "theirs", **changes)
    with pytest.raises(ValueError, match=named):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("weights,named", [
    ({"x.lora_A.weight": (4, 8)}, "only one of lora_A and lora_B for base_model"),
    ({"x.lora_A.weight": (4, 8), "x.lora_B.weight": (8, 4), "x.lora_magnitude_vector": (8,)}, "magnitude"),
    ({"x.lora_A.weight": (4, 8, 3, 3), "x.lora_B.weight": (8, 4, 1, 1)}, "convolution"),
    ({"classifier.weight": (2, 8)}, "no lora_A and lora_B"),
], ids=str)  # fmt: skip
def test_tensors_that_are_refused(weights, named, tmp_path):
    write(tmp_path / "theirs", {PREFIX + name: torch.ones(shape) for name, shape in weights.items()})
    with pytest.raises(ValueError, match=named):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"adapter_config\.json"):
        ginets.convert_adapter(tmp_path / "nowhere", tmp_path / "ours")
    write(tmp_path / "theirs")
    with pytest.raises(FileExistsError, match="not empty"):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "theirs")
    file = tmp_path / "theirs" / "adapter_model.safetensors"
    file.rename(file.with_name("adapter_model.bin"))
    with pytest.raises(ValueError, match="is a pickle"):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")
    file.with_name("adapter_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.safetensors"):
        ginets.convert_adapter(tmp_path / "theirs", tmp_path / "ours")

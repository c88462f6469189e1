"""Export as plain LoRA: stock PEFT gets the same outputs from it."""

import copy
import json
import subprocess
import sys

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

import ginets
from ginets.tuners import AFLoraConfig, InAConfig, MTLoraConfig, NotMergeableError, SoraConfig, to_lora


pytestmark = [
    pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
]

STRUCTURES = ("SHIM", "ICFM", "CTCM", "DTSM")
METHODS = {
    **{structure: (MTLoraConfig, {"structure": structure}) for structure in STRUCTURES},
    "AFLoRA": (AFLoraConfig, {"aflora_alpha": 6}),
    "AFLoRA, not scaled": (AFLoraConfig, {}),
    "SoRA": (SoraConfig, {"init_gate": "normal"}),
    "InA at p = 0": (InAConfig, {"inhibition_level": 0.0, "ina_alpha": 5}),
}
IDS = torch.tensor([[5, 8, 13, 21, 34, 3], [2, 7, 1, 8, 2, 8]])


def bert() -> BertForSequenceClassification:
    sizes = {
        "hidden_size": 8,
        "intermediate_size": 12,
        "num_attention_heads": 2,
        "num_hidden_layers": 3,
        "initializer_range": 0.5,
    }
    return BertForSequenceClassification(BertConfig(vocab_size=50, max_position_embeddings=16, **sizes)).eval()


def gpt2() -> GPT2LMHeadModel:
    return GPT2LMHeadModel(
        GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=50, n_positions=16, initializer_range=0.5)
    ).eval()


def adapt(base: nn.Module, method: str, **options) -> peft.PeftModel:
    """`base` with a random adapter; an AFLoRA, whose b starts at zero, gets a random one by `init_weights`."""
    config, own = METHODS[method]
    model = peft.get_peft_model(copy.deepcopy(base), config(**{"r": 3, "init_weights": False} | own | options))
    for name, parameter in model.named_parameters():
        if "modules_to_save" in name:
            nn.init.normal_(parameter)
    return model.eval()


def logits(model: nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def check(base: nn.Module, model: peft.PeftModel, folder, adapter_name: str | None = None) -> peft.PeftModel:
    """Export, load as LoRA, compare. In double precision, so that nothing else is near enough."""
    expected = logits(model)
    assert not torch.allclose(expected, logits(base), atol=1e-3)
    to_lora(model, folder, adapter_name)
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder)
    assert type(loaded.base_model) is peft.LoraModel
    torch.testing.assert_close(logits(loaded), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(logits(loaded.merge_and_unload()), expected, rtol=1e-10, atol=1e-10)
    return loaded


@pytest.mark.parametrize("method", METHODS)
def test_outputs_are_the_same(method, tmp_path):
    base = bert().double()
    targets = ["query", "value", "intermediate.dense", "word_embeddings"]
    model = adapt(base, method, target_modules=targets, task_type="SEQ_CLS")
    check(base, model, tmp_path / "new" / "folder")
    saved = load_file(tmp_path / "new" / "folder" / "adapter_model.safetensors")
    stem = "base_model.model.bert.embeddings.word_embeddings"
    assert saved[f"{stem}.lora_embedding_A"].shape == (3, 50)
    assert saved["base_model.model.classifier.weight"].equal(model.base_model.model.classifier.weight)
    assert not any(model.base_model.prefix in name for name in saved if not name.split(".")[-2].startswith("lora_"))


@pytest.mark.parametrize("method", METHODS)
def test_patterns_and_the_choice_of_layers_are_kept(method, tmp_path):
    base = bert().double()
    options = {
        "target_modules": ["query", "value", "key"],
        "exclude_modules": ["layer.2.attention.self.key"],
        "layers_to_transform": [0, 2],
        "rank_pattern": {"query": 5, "layer.2.attention.self.value": 2},
        "use_rslora": METHODS[method][1] != {},
    }
    if METHODS[method][1]:
        options["alpha_pattern"] = {"value": 7.5}
    model = adapt(base, method, **options)
    check(base, model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (
        config["r"] == 5
        and config["peft_type"] == "LORA"
        and set(config["target_modules"]) == {"query", "value", "key"}
    )
    assert config["layers_to_transform"] == [0, 2]
    assert sorted(config["rank_pattern"].values()) == [2, 3, 3]


@pytest.mark.parametrize("slices", [None, [True, False, True], [False, False, True]])
@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_fused_modules_become_lora_of_higher_rank(structure, mix, slices, tmp_path):
    base = gpt2().double()
    fused = None if slices is None else {"c_attn": slices}
    model = adapt(base, structure, lora_alpha=6, lora_dropout=0.25, mix_slices=mix, fused_modules=fused)
    check(base, model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    rank = 3 * sum(slices or [True] * 3)
    ranks = {config["r"], *config["rank_pattern"].values()}
    alphas = {config["lora_alpha"], *config["alpha_pattern"].values()}
    assert ranks == {3, rank} and alphas == {6, 2 * rank}  # α/r is 2 everywhere
    assert config["lora_dropout"] == 0.25 and config["fan_in_fan_out"] is True
    saved = load_file(tmp_path / "adapter_model.safetensors")
    up = saved["base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"]
    assert up.shape == (24, rank)
    for row, adapted in enumerate(slices or [True] * 3):
        assert up[8 * row : 8 * row + 8].any(0).sum() == 3 * adapted


def test_closed_gates_are_left_out(tmp_path):
    base = bert().double()
    model = adapt(base, "SoRA", target_modules=["query"])
    layers = [block.attention.self.query for block in model.base_model.model.bert.encoder.layer]
    with torch.no_grad():
        layers[0].sora_gate["default"][1] = 0
        layers[2].sora_gate["default"].zero_()
    loaded = check(base, model, tmp_path)
    assert loaded.peft_config["default"].rank_pattern == {
        r"^bert\.encoder\.layer\.0\.attention\.self\.query": 2,
    }


def test_one_of_several_adapters_is_chosen_by_name(tmp_path):
    base = bert().double()
    model = adapt(base, "SHIM", target_modules=["query"])
    model.add_adapter("other", MTLoraConfig(r=2, structure="CTCM", target_modules=["key"], init_weights=False))
    model.set_adapter("other")
    check(base, model, tmp_path / "active")
    check(base, model, tmp_path / "named", "other")
    model.set_adapter("default")
    check(base, model, tmp_path / "default")
    model.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match=r"adapter_name is needed: the active adapters are default, other"):
        to_lora(model, tmp_path / "several")
    with pytest.raises(ValueError, match=r"adapter_name is 'third'; the model has default, other"):
        to_lora(model, tmp_path / "several", "third")
    assert not (tmp_path / "several").exists()


def test_a_changed_scale_is_exported(tmp_path):
    base = bert().double()
    model = adapt(base, "ICFM", target_modules=["query"])
    for layer in model.base_model.branches():
        layer.scale_layer(0.3)
    check(base, model, tmp_path)


def test_half_precision_stays_half(tmp_path):
    model = adapt(bert().bfloat16(), "CTCM", target_modules=["query"], lora_dropout=0.1)
    model.to(torch.bfloat16)
    to_lora(model, tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}


FRESH = """
import sys
from pathlib import Path
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification
from peft import AutoPeftModel, LoraModel
from safetensors.torch import load_file

folder = Path(sys.argv[1])
expected = load_file(folder / "expected.safetensors")
for name in ("bert", "gpt2", "gpt2 without a task"):
    auto = {"bert": AutoPeftModelForSequenceClassification, "gpt2": AutoPeftModelForCausalLM}.get(name, AutoPeftModel)
    model = auto.from_pretrained(folder / name).eval()
    assert type(model.base_model) is LoraModel
    with torch.no_grad():
        torch.testing.assert_close(model(expected["ids"]).logits, expected[name], rtol=1e-5, atol=1e-5)
assert not any(name.split(".")[0] == "ginets" for name in sys.modules)
"""


def test_a_fresh_process_needs_peft_only(tmp_path):
    expected = {"ids": IDS}
    for name, make, task in (
        ("bert", bert, "SEQ_CLS"),
        ("gpt2", gpt2, "CAUSAL_LM"),
        ("gpt2 without a task", gpt2, None),
    ):
        make().save_pretrained(tmp_path / f"{name} base")
        base = type(make()).from_pretrained(tmp_path / f"{name} base").eval()
        model = adapt(base, "CTCM", task_type=task)
        expected[name] = logits(model)
        ginets.to_lora(model, tmp_path / name)
    save_file(expected, tmp_path / "expected.safetensors")
    done = subprocess.run([sys.executable, "-c", FRESH, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_nonlinear_adapter_is_refused_before_anything_is_written(tmp_path):
    config = InAConfig(r=3, target_modules=["query"], inhibition_level=0.3)
    model = peft.get_peft_model(bert(), config)
    with pytest.raises(NotMergeableError, match=r"inhibition_level 0\.3"):
        to_lora(model, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_other_models_are_refused(tmp_path):
    lora = peft.get_peft_model(bert(), peft.LoraConfig(target_modules=["query"]))
    for model, kind in ((lora, "LoraModel"), (bert(), "BertModel|BertForSequenceClassification")):
        with pytest.raises(TypeError, match=rf"takes a PeftModel with an adapter of ginets; this is a ({kind})"):
            to_lora(model, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_merged_model_is_refused(tmp_path):
    model = adapt(bert(), "SHIM", target_modules=["query"])
    model.merge_adapter()
    with pytest.raises(ValueError, match=r"call unmerge_adapter\(\) first"):
        to_lora(model, tmp_path / "folder")

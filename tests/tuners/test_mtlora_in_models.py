"""MTLoRA in models: merging, saving, several adapters, the sizes of the published runs, and what is refused."""

import copy
import re

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import (
    DebertaV2Config,
    DebertaV2Model,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    RobertaConfig,
    RobertaModel,
)
from transformers.pytorch_utils import Conv1D

from ginets.tuners import MTLoraConfig
from ginets.tuners.mtlora.layer import MTLoraLayer
from tests.tuners.mtlora_parts import LAYERS, QKV, STRUCTURES, adapted, example, tensors


pytestmark = pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM")


@pytest.mark.parametrize("kind", [*LAYERS, "fused", "fused and mixed"])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_merging_and_unmerging(structure, kind):
    more = {"fused_modules": {"layer": [True, False, True]}, "mix_slices": "mixed" in kind} if "fused" in kind else {}
    base = LAYERS[kind]() if kind in LAYERS else Conv1D(12, 6)
    weight = base.weight.detach().clone()
    model, layer = adapted(base, structure=structure, init_weights=False, **more)
    x = example(base)
    expected = model(x)
    model.merge_adapter(safe_merge=True)
    torch.testing.assert_close(base.weight.detach(), weight + layer.get_delta_weight("default"))
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
    model.unmerge_adapter()
    torch.testing.assert_close(base.weight.detach(), weight, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.merge_and_unload()(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "conv1d"])
def test_dropout_is_off_in_evaluation(kind):
    model, layer = adapted(LAYERS[kind](), lora_dropout=0.5, init_weights=False)
    x = torch.randn(4, 6)
    assert not torch.equal(model(x), model(x))
    assert model.eval() is model
    assert torch.equal(model(x), model(x))
    model.merge_adapter()
    merged = model(x)
    model.unmerge_adapter()
    torch.testing.assert_close(model(x), merged, rtol=1e-5, atol=1e-5)
    assert layer.train() is layer


def tiny_gpt2(**options) -> GPT2Model:
    return GPT2Model(GPT2Config(n_embd=8, n_layer=2, n_head=2, vocab_size=50, n_positions=16, **options)).eval()


def test_layers_have_parameters_of_their_own():
    model = peft.get_peft_model(tiny_gpt2(), MTLoraConfig(r=2))
    layers = [module for module in model.modules() if isinstance(module, MTLoraLayer)]
    everything = [tensor for layer in layers for tensor in tensors(layer).values()]
    assert len({tensor.data_ptr() for tensor in everything}) == len(everything) == 3 * 4
    first, second = (block.attn.c_attn.mtlr_A["default"].weight for block in model.base_model.model.h)
    assert not torch.equal(first, second)
    model.print_trainable_parameters()
    trainable = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert trainable == {name for name, _ in model.named_parameters() if ".mtlr_" in name}


def test_adapters_of_different_structures_side_by_side():
    model, layer = adapted(nn.Linear(6, 12), structure="CTCM", init_weights=False)
    other = {"structure": "SHIM", "r": 2, "target_modules": ["layer"], "init_weights": False}
    model.add_adapter("other", MTLoraConfig(**other, fused_modules={"layer": QKV}))
    x = torch.randn(4, 6)
    with model.disable_adapter():
        assert torch.equal(model(x), layer.get_base_layer()(x))
    model.set_adapter("other")
    expected = layer.get_base_layer()(x) + x @ layer.get_delta_weight("other").T
    torch.testing.assert_close(model(x), expected)
    mixed = model.eval()(x, adapter_names=["default", "other", "__base__", "other"])
    torch.testing.assert_close(mixed[[1, 3]], expected[[1, 3]])
    model.delete_adapter("other")
    assert layer.slices == {"default": (True,)} and "other" not in layer.mtlr_C


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_save_and_load(structure, mix, dtype, tmp_path):
    base = tiny_gpt2(add_cross_attention=True).to(dtype)
    targets = ["c_attn", "c_fc", "wte"]
    config = MTLoraConfig(r=2, structure=structure, mix_slices=mix, target_modules=targets, init_weights=False)
    model = peft.get_peft_model(copy.deepcopy(base), config, autocast_adapter_dtype=False)
    assert config.fused_modules == {"c_attn": QKV, "crossattention.c_attn": [True, True]}
    ids = torch.arange(6)[None]
    expected = model(ids).last_hidden_state
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert not any("lora_" in name.replace("mtlr_", "") for name in saved)
    loaded = peft.PeftModel.from_pretrained(copy.deepcopy(base), tmp_path, autocast_adapter_dtype=False)
    assert torch.equal(loaded(ids).last_hidden_state, expected)
    cross = loaded.base_model.model.h[0].crossattention.c_attn
    assert cross.slices["default"] == (True, True) and cross.weight_of("A", "default").dtype == dtype


@pytest.mark.parametrize("structure", STRUCTURES)
def test_half_precision_is_near_single(structure):
    base = nn.Linear(6, 12)
    _, single = adapted(base, structure=structure, init_weights=False)
    half = copy.deepcopy(single).to(torch.bfloat16)
    x = torch.randn(4, 5, 6)
    got, expected = half(x.bfloat16()), single(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), expected, rtol=0.05, atol=0.05)
    got.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors(half).values())


# ---------------------------------------------------------------------- size of the published runs

ROBERTA = {
    "r": 8,
    "target_modules": ["query", "value", "intermediate.dense", "output.dense"],
    "exclude_modules": ["attention.output.dense"],
}
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
VICUNA = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
GPT2 = GPT2Config(n_embd=1024, n_layer=24, n_head=16)
PUBLISHED = {
    "RoBERTa-base": (RobertaModel, RobertaConfig(**BASE), ROBERTA, 1_035_264, 1_038_336),
    "DeBERTa-v3-base": (DebertaV2Model, DebertaV2Config(**BASE), {"r": 8}, 1_331_712, 1_336_320),
    "GPT-2 medium": (GPT2Model, GPT2, {"r": 4, "mix_slices": True}, 1_085_184, 1_089_024),
    "GPT-2 medium, T per slice": (GPT2Model, GPT2, {"r": 4}, 1_082_880, 1_084_416),
    "Vicuna-7B": (LlamaModel, VICUNA, {"r": 128}, 323_485_696, 327_155_712),
}


@pytest.mark.parametrize("structure", ["SHIM", "CTCM"])
@pytest.mark.parametrize("run", PUBLISHED)
def test_parameter_counts_of_the_published_runs(run, structure):
    model_class, config, options, one_matrix, two_matrices = PUBLISHED[run]
    with torch.device("meta"):
        model = peft.get_peft_model(model_class(config), MTLoraConfig(structure=structure, **options))
    count = sum(tensor.numel() for tensor in model.parameters() if tensor.requires_grad)
    assert count == (one_matrix if structure == "SHIM" else two_matrices)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("r", 0),
        ("r", 2.5),
        ("lora_alpha", "16"),
        ("lora_dropout", 1.0),
        ("structure", "shim"),
        ("init", "zeros"),
        ("rank_pattern", {"query": 0}),
        ("fused_modules", {"c_attn": 3}),
        ("fused_modules", {"c_attn": [True]}),
        ("fused_modules", {"c_attn": [False, False, False]}),
        ("fused_modules", {"c_attn": [1, 0, 1]}),
        ("fused_modules", ["c_attn"]),
        ("mix_slices", "yes"),
    ],
)
def test_bad_values_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"MTLoraConfig: {field} is {re.escape(repr(value))}; allowed: "):
        MTLoraConfig(**{field: value})


@pytest.mark.parametrize("base", [nn.Linear(6, 10), nn.Embedding(11, 6)])
def test_slices_that_do_not_fit_are_refused(base):
    with pytest.raises(ValueError, match=r"fused_modules gives 3 slices to a (Linear|Embedding) with"):
        adapted(base, fused_modules={"layer": QKV})

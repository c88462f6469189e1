"""SoRA: the branch against PEFT's LoRA and a naive formula, its config, pruning."""

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn

from ginets.tuners import SoraConfig
from tests.tuners.sora_parts import IDS, TARGETS, Small, close_some, gates, small


# ---------------------------------------------------------------------- the branch


def test_open_gates_are_lora():
    torch.manual_seed(0)
    lora = get_peft_model(
        Small(), peft.LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, init_lora_weights=False)
    )
    ours = small(lora_alpha=16)
    theirs = {name.replace("lora_embedding_", "lora_"): tensor for name, tensor in lora.named_parameters()}
    for name, tensor in ours.named_parameters():
        if "gate" not in name:
            tensor.data = theirs[name.replace("sora_", "lora_")].data.clone()
    expected, got = lora(IDS), ours(IDS)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    expected.square().sum().backward()
    got.square().sum().backward()
    compared = [name for name, tensor in ours.named_parameters() if tensor.requires_grad and "gate" not in name]
    assert len(compared) == 8
    for name in compared:
        reference = theirs[name.replace("sora_", "lora_")].grad
        torch.testing.assert_close(dict(ours.named_parameters())[name].grad, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_formula(shape):
    config = SoraConfig(r=3, lora_alpha=7, target_modules=["0"], init_weights=False, init_gate="normal")
    layer = get_peft_model(nn.Sequential(nn.Linear(6, 4)), config).base_model.model[0]
    A, B, g = (layer.weight_of(name, "default") for name in ("A", "B", "gate"))
    assert g.unique().numel() == 3 and (g != 1).all()
    x = torch.randn(shape, requires_grad=True)
    names = (x, A, B, g)
    got = layer(x)
    expected = layer.base_layer(x) + 7 / 3 * (x @ (B @ torch.diag(g) @ A).T)
    torch.testing.assert_close(got, expected)
    grads = [torch.autograd.grad((y * torch.ones(4).cumsum(0)).sum(), names) for y in (got, expected)]
    for mine, reference in zip(*grads, strict=True):
        torch.testing.assert_close(mine, reference)


def test_merge_is_exact_and_disabling_gives_the_base():
    model = small(init_gate="normal")
    expected = model(IDS)
    with model.disable_adapter():
        off = model(IDS)
    torch.manual_seed(0)
    assert torch.equal(off, Small()(IDS)) and not torch.allclose(off, expected)
    torch.testing.assert_close(model.merge_and_unload()(IDS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "field,value",
    [("sparse_lambda", -1e-3), ("lambda_warmup", -1), ("gate_lr", 0), ("gate_lr", "fast"), ("init_gate", "zeros")],
)
def test_bad_fields(field, value):
    with pytest.raises(ValueError, match=f"SoraConfig: {field} is {value!r}; allowed: "):
        SoraConfig(**{field: value})


# ---------------------------------------------------------------------- pruning


@pytest.mark.parametrize("fields", [{}, {"use_rslora": True}, {"lora_alpha": 7, "alpha_pattern": {"linear": 5}}])
def test_pruned_equals_unpruned_in_memory_and_on_disk(fields, tmp_path):
    model = small(**fields).eval()
    close_some(model)
    open_ranks = [max(1, int(gate.count_nonzero())) for gate in gates(model)]
    assert open_ranks == [2, 1, 2, 2]
    expected = model(IDS)
    ranks = model.prune()
    assert ranks == dict(zip(["table", "conv", "linear", "inner.linear"], open_ranks, strict=True))
    torch.testing.assert_close(model(IDS), expected, rtol=1e-6, atol=1e-6)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sorted(len(tensor) for name, tensor in saved.items() if "gate" in name) == sorted(open_ranks)
    torch.manual_seed(0)
    loaded = PeftModel.from_pretrained(Small(), tmp_path)
    assert torch.equal(loaded(IDS), model(IDS))
    torch.testing.assert_close(loaded.merge_and_unload()(IDS), expected, rtol=1e-5, atol=1e-5)


def test_pruning_one_adapter_leaves_the_other():
    model = small()
    model.add_adapter("other", SoraConfig(r=3, target_modules=TARGETS))
    close_some(model)
    before = {name: tensor.shape for name, tensor in model.named_parameters() if ".other" in name}
    model.prune("default")
    assert {name: tensor.shape for name, tensor in model.named_parameters() if ".other" in name} == before
    assert model.peft_config["other"].rank_pattern == {}
    with pytest.raises(ValueError, match="adapter_name is 'third'; the model has default, other"):
        model.prune("third")


def test_adapters_that_share_a_config_are_pruned_apart(tmp_path):
    model = small()
    model.add_adapter("other", model.peft_config["default"])
    close_some(model)
    model.prune("default")
    assert model.peft_config["other"].rank_pattern == {}
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(Small(), tmp_path / "other")
    assert all(len(gate) == 4 for gate in gates(loaded))

"""AFLoRA: forward and gradients, schedule and scores against plain formulas, freezing, counts."""

import math

import pytest
import torch
from peft import VeraConfig, get_peft_model
from torch import nn
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model, LlamaConfig, LlamaModel
from transformers.pytorch_utils import Conv1D

from ginets.tuners import AFLoraConfig, FreezeController
from ginets.tuners.aflora.model import layers_with


FFN = ["intermediate.dense", "output.dense"]


class Net(nn.Module):
    """One layer of each kind."""

    def __init__(self):
        super().__init__()
        self.words, self.wide = nn.Embedding(11, 6), nn.Linear(6, 10)
        self.conv, self.square = Conv1D(6, 10), nn.Linear(6, 6, bias=False)

    def forward(self, ids):
        return self.square(self.conv(self.wide(self.words(ids)).tanh()).tanh())


def adapted(model=None, **options):
    config = {"target_modules": ["words", "wide", "conv", "square"], "r": 3, "init_weights": False} | options
    return get_peft_model(model or Net(), AFLoraConfig(**config))


def branches(model, adapter="default"):
    return {name.removeprefix("base_model.model."): layer for name, layer in layers_with(model, adapter).items()}


def tiny_bert(**options):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return BertModel(BertConfig(vocab_size=30, **sizes, **options), add_pooling_layer=False)


# ---------------------------------------------------------------------- the layer


@pytest.mark.parametrize("alpha", [None, 12])
def test_forward_and_gradients_are_the_formula(alpha):
    """y = W x + s · b ⊙ B (d ⊙ A x), in value and in the gradient of all four tensors and of x; s is 1 or α/r."""
    model = adapted(aflora_alpha=alpha).double()
    scale = 1.0 if alpha is None else alpha / 3
    inputs = {"words": torch.randint(11, (4, 5))} | {
        name: torch.randn(4, 5, width, dtype=torch.double, requires_grad=True)
        for name, width in (("wide", 6), ("conv", 10), ("square", 6))
    }
    for name, layer in branches(model).items():
        x, base = inputs[name], layer.get_base_layer()
        tensors = [layer.weight_of(each, "default") for each in "ABdb"]
        down, up, d, b = tensors
        h = down[:, x].permute(1, 2, 0) if name == "words" else torch.einsum("...i,ri->...r", x, down)
        expected = base(x) + scale * b * torch.einsum("...r,kr->...k", d * h, up)
        wanted = tensors if name == "words" else [*tensors, x]
        found = layer(x)
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, base(x))
        cotangent = torch.randn_like(found)
        for ours, naive in zip(
            torch.autograd.grad(found, wanted, cotangent),
            torch.autograd.grad(expected, wanted, cotangent),
            strict=True,
        ):
            torch.testing.assert_close(ours, naive)


def test_start():
    """A and B from U(±√(6/fan_in)), d = 0.1, b = 0: the adapted model is the base model."""
    net, ids = Net(), torch.randint(11, (2, 5))
    before = net(ids)
    model = adapted(net, init_weights=True, r=200)
    assert torch.equal(model(ids), before)
    layer = branches(model)["wide"]
    for matrix, fan_in in (("A", 6), ("B", 200)):
        weight, bound = layer.weight_of(matrix, "default"), math.sqrt(6 / fan_in)
        assert 0.98 * bound < weight.abs().max() <= bound
    assert (layer.weight_of("d", "default") == 0.1).all() and (layer.weight_of("b", "default") == 0).all()
    other = branches(adapted(init_weights=True, d_init=1, b_init=0.5, projection_init="xavier_normal"))["wide"]
    assert (other.weight_of("d", "default") == 1).all() and (other.weight_of("b", "default") == 0.5).all()
    assert other.weight_of("A", "default").abs().max() > 0


def test_all_frozen_is_vera():
    """With `freeze_from_start="all"` only d and b train, and PEFT's VeRA computes the same, in value and gradient."""
    options = {"target_modules": ["wide"], "r": 3}
    vera = get_peft_model(Net(), VeraConfig(**options, init_weights=False)).base_model.model.wide
    ours = branches(adapted(target_modules=["wide"], freeze_from_start="all"))["wide"]
    trains = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert trains == {"aflr_d.default", "aflr_b.default"}
    with torch.no_grad():
        ours.get_base_layer().load_state_dict(vera.get_base_layer().state_dict())
        vera.vera_A["default"][:3, :6] = ours.weight_of("A", "default")
        vera.vera_B["default"][:10, :3] = ours.weight_of("B", "default")
        vera.vera_lambda_d["default"].copy_(ours.weight_of("d", "default"))
        vera.vera_lambda_b["default"].copy_(ours.weight_of("b", "default"))
    x = torch.randn(4, 6)
    torch.testing.assert_close(ours(x), vera(x))
    for layer in (ours, vera):
        layer(x).square().sum().backward()
    for name, stock in (("d", vera.vera_lambda_d), ("b", vera.vera_lambda_b)):
        torch.testing.assert_close(ours.weight_of(name, "default").grad, stock["default"].grad)


def test_merges_exactly_with_some_frozen():
    model, ids = adapted(aflora_alpha=6).double(), torch.randint(11, (2, 5))
    branches(model)["wide"].freeze("default", "A", 1)
    expected = model(ids)
    model.merge_adapter()
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-12)
    model.unmerge_adapter()
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.merge_and_unload()(ids), expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- frozen


def test_a_frozen_matrix_costs_nothing():
    """No gradient, and with A frozen the branch does not keep its wide input for the backward pass."""
    layer = branches(adapted())["wide"]

    def kept_wide() -> int:
        sizes = []
        x = torch.randn(50, 6, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.shape) or t, lambda t: t):
            layer(x).sum().backward()
        return sizes.count(torch.Size([50, 6])) + sizes.count(torch.Size([50, 10]))

    assert kept_wide() == 1
    layer.freeze("default", "A", 1)
    assert kept_wide() == 0
    layer.freeze("default", "B", 1)
    layer(torch.randn(4, 6)).sum().backward()
    assert [layer.weight_of(name, "default").grad is None for name in "ABdb"] == [True, True, False, False]


def test_frozen_stays_frozen():
    """Through switching, disabling, a pass without the adapter, and a second adapter, which is not frozen."""
    model = adapted()
    layer = branches(model)["wide"]
    layer.freeze("default", "B", 7)

    def flags(adapter):
        return [layer.weight_of(name, adapter).requires_grad for name in "ABdb"]

    frozen = [True, False, True, True]
    with model.disable_adapter():
        assert not any(flags("default"))
    assert flags("default") == frozen
    model.add_adapter("other", AFLoraConfig(target_modules=["wide"], r=2))
    model.set_adapter("other")
    assert flags("other") == [True] * 4 and not any(flags("default"))
    model.set_adapter("default")
    assert flags("default") == frozen
    model.base_model.set_requires_grad("default")
    assert flags("default") == frozen
    model.delete_adapter("other")
    assert "other" not in layer.matrices and flags("default") == frozen


def test_layers_do_not_share_what_is_frozen():
    model = adapted()
    layers = branches(model)
    layers["wide"].freeze("default", "A", 1)
    model.set_adapter("default")
    assert layers["square"].weight_of("A", "default").requires_grad


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        ("square", {"square"}),
        (["wide", "conv"], {"wide", "conv"}),
        (["square", "wide"], {"square", "wide"}),
        (None, set()),
    ],
)
def test_frozen_from_start(given, fixed):
    model = adapted(freeze_from_start=given)
    layers = branches(model)
    for name, layer in layers.items():
        expected = name not in fixed
        assert [layer.weight_of(m, "default").requires_grad for m in "ABdb"] == [expected, expected, True, True]
    assert {matrix.module for matrix in FreezeController(model, 10).pool} == set(layers) - fixed


def test_names_that_freeze_nothing_are_refused():
    with pytest.raises(ValueError, match=r"freeze_from_start has 'are'.*adapted are.*square"):
        adapted(freeze_from_start=["are"])


@pytest.mark.parametrize(
    "bad",
    [
        {"freeze_start": 0.4},
        {"freeze_end": 14},
        {"freeze_window": 0},
        {"freeze_rule": "median"},
        {"freeze_schedule": "linear"},
        {"freeze_beta1": 1.0},
        {"projection_init": "zeros"},
        {"d_init": "big"},
        {"use_rslora": True},
        {"freeze_from_start": [3]},
        {"freeze_from_start": 5},
        {"aflora_dropout": 1.0},
        {"aflora_alpha": "16"},
    ],
)
def test_bad_values_are_refused_by_name(bad):
    (field,) = bad
    with pytest.raises(ValueError, match=rf"AFLoraConfig: {field} is .*; allowed: "):
        AFLoraConfig(**bad)


# ---------------------------------------------------------------------- counts


def on_meta(cls, config, **options):
    with torch.device("meta"):
        return get_peft_model(cls(config), AFLoraConfig(**options))


def counts(model) -> tuple[int, int]:
    """d and b; A and B."""
    sizes = {"vectors": 0, "matrices": 0}
    for layer in branches(model).values():
        for name in "ABdb":
            weight = layer.weight_of(name, "default")
            sizes["vectors" if name in "db" else "matrices"] += weight.numel() * weight.requires_grad
    return sizes["vectors"], sizes["matrices"]


def test_published_counts():
    """DeBERTa-v3-base, r = 4, as on GLUE; ELoRA at rank 1024; Llama-2-7B, r = 32, as on GSM8K."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    deberta = DebertaV2Config(vocab_size=100, relative_attention=True, **sizes)
    glue = on_meta(DebertaV2Model, deberta, r=4, freeze_from_start="square")
    assert counts(glue) == (83_232, 368_640)
    assert FreezeController(glue, 100).trainable_parameters() == 451_872
    assert glue.get_nb_trainable_parameters()[0] == 451_872
    assert counts(on_meta(DebertaV2Model, deberta, r=1024, freeze_from_start="all")) == (156_672, 0)
    llama = LlamaConfig(vocab_size=100, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32)
    assert counts(on_meta(LlamaModel, llama, r=32)) == (881_664, 56_098_816)


def test_default_targets():
    """Attention and feed-forward, as published."""
    layers = branches(get_peft_model(tiny_bert(), AFLoraConfig(r=2)))
    per_layer = {name.split("layer.0.")[1] for name in layers if "layer.0." in name}
    assert per_layer == {f"attention.self.{x}" for x in ("query", "key", "value")} | {"attention.output.dense", *FFN}

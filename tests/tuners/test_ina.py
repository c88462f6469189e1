"""InA against its formula, written out token by token: values, gradients, options, inputs of any shape and type."""

from collections import OrderedDict

import pytest
import torch
from peft import get_peft_model
from torch import nn
from torch.nn import functional as F
from transformers import BertForSequenceClassification, LlamaForCausalLM
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding
from transformers.models.gemma3.modeling_gemma3 import Gemma3TextScaledWordEmbedding
from transformers.pytorch_utils import Conv1D

from ginets import InAConfig
from tests.tiny import inputs, stock_config


ACTIVATIONS = {"leaky_relu": lambda z: F.leaky_relu(z, 0.01), "gelu": F.gelu, "none": lambda z: z}
SHAPES = [(6,), (4, 6), (2, 4, 6), (2, 3, 4, 6)]


def naive(x, A, B, p, scaling, activation="leaky_relu", detach_threshold=False, rescale=False):
    """s · B · f(h − p·max h), h = A x, for one token after the other."""
    outputs = []
    for token in x.reshape(-1, x.shape[-1]):
        h = torch.stack([row @ token for row in A])
        if p > 0:
            strongest = max(h)
            threshold = p * (strongest.detach() if detach_threshold else strongest)
            h = ACTIVATIONS[activation](h - threshold)
            h = h / (1 - p) if rescale else h
        outputs.append(scaling * (B @ h))
    return torch.stack(outputs).reshape(*x.shape[:-1], -1)


def adapted(base: nn.Module, **fields):
    """A model of one layer with a live adapter, the layer, and its A (r, in) and B (out, r)."""
    model = get_peft_model(
        nn.Sequential(OrderedDict(it=base)), InAConfig(**{"target_modules": ["it"], "init_weights": False} | fields)
    )
    layer = model.base_model.model.it
    return model, layer, layer.weight_of("A", "default"), layer.weight_of("B", "default")


def gradients(output, *leaves):
    return torch.autograd.grad(output.square().sum(), leaves)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("level", [0, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["Linear", "Conv1D"])
def test_the_formula(kind, level, shape):
    base = nn.Linear(6, 5) if kind == "Linear" else Conv1D(5, 6)
    model, _, A, B = adapted(base.double(), r=4, ina_alpha=6, inhibition_level=level)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    output, expected = model(x), base(x) + naive(x, A, B, level, 1.5)
    torch.testing.assert_close(output, expected)
    for grad, reference in zip(gradients(output, x, A, B), gradients(expected, x, A, B), strict=True):
        torch.testing.assert_close(grad, reference)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
@pytest.mark.parametrize("level", [0, 0.3])
@pytest.mark.parametrize("scaled", [None, "tensor", "float"])
@pytest.mark.parametrize("activation", ["leaky_relu", "gelu"])
def test_the_formula_in_embeddings(shape, level, scaled, activation):
    """`scaled`: an embedding that multiplies by a constant of the model multiplies the branch, too."""
    classes = {"tensor": Gemma3TextScaledWordEmbedding, "float": BartScaledWordEmbedding}
    base = classes[scaled](9, 5, 0, embed_scale=3.0) if scaled else nn.Embedding(9, 5, padding_idx=0)
    model, _, A, B = adapted(base, r=4, ina_alpha=6, inhibition_level=level, activation=activation)
    ids = torch.randint(1, 9, shape)
    output = model(ids)
    update = naive(F.one_hot(ids, 9).float(), A, B, level, 1.5, activation)
    expected = base(ids) + update * (3 if scaled else 1)
    torch.testing.assert_close(output, expected)
    for grad, reference in zip(gradients(output, A, B), gradients(expected, A, B), strict=True):
        torch.testing.assert_close(grad, reference, rtol=1e-4, atol=1e-4)


OPTIONS = [
    {"detach_threshold": True},
    {"rescale": True},
    {"activation": "gelu"},
    {"activation": "none"},
    {"detach_threshold": True, "rescale": True, "activation": "gelu"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("level", [0, 0.3])
def test_options(options, level):
    """At p = 0 none of them acts."""
    base = nn.Linear(6, 5).double()
    model, _, A, B = adapted(base, r=4, ina_alpha=6, inhibition_level=level, **options)
    x = torch.randn(2, 4, 6, dtype=torch.double, requires_grad=True)
    output, expected = model(x), base(x) + naive(x, A, B, level, 1.5, **options)
    torch.testing.assert_close(output, expected)
    plain = base(x) + naive(x, A, B, level, 1.5)
    pairs = list(zip(gradients(output, x, A, B), gradients(expected, x, A, B), strict=True))
    for grad, reference in pairs:
        torch.testing.assert_close(grad, reference)
    differs = not all(
        torch.allclose(grad, other) for (grad, _), other in zip(pairs, gradients(plain, x, A, B), strict=True)
    )
    assert differs == (level > 0)


def test_rslora_divides_by_the_root():
    base = nn.Linear(6, 5)
    model, _, A, B = adapted(base, r=4, ina_alpha=6, use_rslora=True)
    x = torch.randn(3, 6)
    torch.testing.assert_close(model(x), base(x) + naive(x, A, B, 0.3, 3.0))


@pytest.mark.parametrize("options,values,grads", [
    # h = [.9, .1, −.2, .05], p = .3: threshold .27; the winner's gradient is (1 − p) − .01·p·(r − 1)
    ({}, [0.63, -0.0017, -0.0047, -0.0022], [0.691, 0.01, 0.01, 0.01]),
    ({"detach_threshold": True}, [0.63, -0.0017, -0.0047, -0.0022], [1.0, 0.01, 0.01, 0.01]),
    ({"activation": "none"}, [0.63, -0.17, -0.47, -0.22], [-0.2, 1.0, 1.0, 1.0]),
    ({"rescale": True}, [0.9, -0.17 / 70, -0.47 / 70, -0.22 / 70], [0.691 / 0.7, 1 / 70, 1 / 70, 1 / 70]),
], ids=str)  # fmt: skip
def test_by_hand(options, values, grads):
    base = nn.Linear(4, 4)
    model, _, A, B = adapted(base, r=4, ina_alpha=4, **options)
    with torch.no_grad():
        for tensor in (A, B):
            tensor.copy_(torch.eye(4))
        for tensor in (base.weight, base.bias):
            tensor.zero_()
    h = torch.tensor([0.9, 0.1, -0.2, 0.05], requires_grad=True)
    output = model(h)
    output.sum().backward()
    torch.testing.assert_close(output, torch.tensor(values))
    torch.testing.assert_close(h.grad, torch.tensor(grads))


def branch_of(model, x):
    with model.disable_adapter():
        base = model(x)
    return model(x) - base


def test_properties_of_the_branch():
    model, _, A, B = adapted(nn.Linear(6, 5).double(), r=4, ina_alpha=4, inhibition_level=0.3)
    x = torch.randn(8, 6, dtype=torch.double)
    h = x @ A.T
    # positively homogeneous, and no more than that
    torch.testing.assert_close(branch_of(model, 3 * x), 3 * branch_of(model, x))
    assert not torch.allclose(branch_of(model, -x), -branch_of(model, x))
    # all ranks negative: p·max lies above the maximum, so every one of them is suppressed to 1 %
    negative = torch.linalg.lstsq(A, -h.abs().T - 0.1).solution.T
    h = negative @ A.T
    assert (h < 0).all()
    torch.testing.assert_close(branch_of(model, negative), 0.01 * (h - 0.3 * h.amax(-1, keepdim=True)) @ B.T)
    # the order of the ranks is of no account
    order, before = torch.randperm(4), branch_of(model, x)
    with torch.no_grad():
        A.copy_(A[order].clone()), B.copy_(B[:, order].clone())
    torch.testing.assert_close(branch_of(model, x), before)


def test_one_rank_and_a_vanishing_level():
    """r = 1 is leaky_relu((1 − p)·h); p → 0 ends at leaky_relu(h), not at the h of p = 0."""
    for fields, factor in (({"inhibition_level": 0.3}, 0.7), ({"inhibition_level": 1e-12}, 1.0)):
        model, _, A, B = adapted(nn.Linear(6, 5).double(), r=1, ina_alpha=1, **fields)
        x = torch.randn(8, 6, dtype=torch.double)
        torch.testing.assert_close(branch_of(model, x), F.leaky_relu(factor * (x @ A.T), 0.01) @ B.T)
        assert not torch.allclose(branch_of(model, x), factor * (x @ A.T) @ B.T)


@pytest.mark.parametrize("level", [0, 0.3, 0.9])
def test_starts_as_the_base_model(level):
    stock = BertForSequenceClassification(stock_config("bert_gi")).eval()
    expected = stock(**inputs()).logits
    targets = ["query", "value", "dense", "word_embeddings"]
    model = get_peft_model(stock, InAConfig(inhibition_level=level, target_modules=targets)).eval()
    assert torch.equal(model(**inputs()).logits, expected)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ina_" in name:
                parameter.normal_()
    assert not torch.allclose(model(**inputs()).logits, expected, atol=1e-2)
    with model.disable_adapter():
        assert torch.equal(model(**inputs()).logits, expected)


def test_strictly_per_token():
    """Not a bit of it comes from other examples, from padding or from later tokens."""
    model, _, _, _ = adapted(nn.Linear(6, 5).double(), r=4, inhibition_level=0.9)
    x = torch.randn(3, 7, 6, dtype=torch.double)
    alone = torch.stack([torch.stack([model(token) for token in row]) for row in x])
    torch.testing.assert_close(model(x), alone, rtol=0, atol=1e-12)
    padded = F.pad(x, (0, 0, 4, 2), value=100.0)
    torch.testing.assert_close(model(padded)[:, 4:-2], alone, rtol=0, atol=1e-12)

    targets = ["q_proj", "v_proj", "down_proj"]
    llama = get_peft_model(
        LlamaForCausalLM(stock_config("llama_ina")),
        InAConfig(inhibition_level=0.9, target_modules=targets, init_weights=False),
    ).eval()
    ids = inputs(3, 10)["input_ids"]
    changed = ids.clone()
    changed[:, 6:] = 7
    full, other = llama(input_ids=ids).logits, llama(input_ids=changed).logits
    assert torch.equal(full[:, :6], other[:, :6]) and not torch.allclose(full[:, 6:], other[:, 6:])
    torch.testing.assert_close(llama(input_ids=ids[:1]).logits, full[:1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("keep", [True, False])
def test_half_precision_bases(dtype, keep):
    """PEFT makes adapters float32 unless told not to; the output has the type of the base either way."""
    base = nn.Linear(6, 5).to(dtype)
    config = InAConfig(r=4, target_modules=["it"], init_weights=False)
    model = get_peft_model(nn.Sequential(OrderedDict(it=base)), config, autocast_adapter_dtype=keep)
    layer = model.base_model.model.it
    A, B = layer.ina_A.default.weight, layer.ina_B.default.weight
    assert A.dtype == (torch.float32 if keep else dtype)
    x = torch.randn(3, 6).to(dtype).requires_grad_()
    output = model(x)
    assert output.dtype == dtype
    expected = base(x).float() + naive(x.float(), A.float(), B.float(), 0.3, 4.0)
    if keep:  # rounded once, at the end
        assert torch.equal(output, expected.to(dtype))
    tolerance = 32 * torch.finfo(dtype).eps
    torch.testing.assert_close(output.float(), expected, rtol=tolerance, atol=tolerance)
    for grad, reference in zip(gradients(output, x, A, B), gradients(expected, x, A, B), strict=True):
        assert grad.dtype == reference.dtype
        torch.testing.assert_close(grad, reference, rtol=tolerance, atol=8 * tolerance)


def test_autocast():
    base = nn.Linear(6, 5)
    model, _, A, B = adapted(base, r=4)
    x = torch.randn(3, 6, requires_grad=True)
    expected = base(x) + naive(x, A, B, 0.3, 4.0)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, rtol=0.05, atol=0.1)
    for grad, reference in zip(gradients(output, A, B), gradients(expected, A, B), strict=True):
        assert grad.dtype == torch.float32
        torch.testing.assert_close(grad, reference, rtol=0.1, atol=0.1 * reference.abs().max().item())


def test_several_adapters_at_once_and_one_per_row():
    base = nn.Linear(6, 5)
    model, layer, A, B = adapted(base, r=4)
    model.add_adapter(
        "other", InAConfig(r=2, inhibition_level=0.9, target_modules=["it"], activation="gelu", init_weights=False)
    )
    C, D = layer.ina_A.other.weight, layer.ina_B.other.weight
    x = torch.randn(3, 6)
    first, second = naive(x, A, B, 0.3, 4.0), naive(x, C, D, 0.9, 8.0, "gelu")
    torch.testing.assert_close(model(x), base(x) + first)
    model.base_model.set_adapter(["default", "other"])
    torch.testing.assert_close(model(x), base(x) + first + second)
    model.eval()
    mixed = layer(x, adapter_names=["other", "__base__", "default"])
    torch.testing.assert_close(mixed, base(x) + torch.stack([second[0], 0 * first[1], first[2]]))


@pytest.mark.parametrize("field,value,allowed", [
    ("r", 0, "at least 1"), ("r", 2.0, "whole number"), ("r", True, "whole number"), ("r", "8", "whole number"),
    ("ina_alpha", None, "a number"), ("ina_alpha", float("inf"), "a number"), ("ina_alpha", "16", "a number"),
    ("ina_dropout", 1.0, "< 1"), ("ina_dropout", -0.1, "0 <="), ("ina_dropout", None, "dropout"),
    ("inhibition_level", 1, "p < 1"), ("inhibition_level", -0.1, "0 <= p"), ("inhibition_level", None, "p < 1"),
    ("inhibition_level", float("nan"), "p < 1"), ("inhibition_level", "0.3", "p < 1"),
    ("inhibition_level", True, "p < 1"),
    ("detach_threshold", "no", "true or false"), ("rescale", 1, "true or false"),
    ("use_rslora", None, "true or false"), ("init_weights", "gaussian", "true or false"),
    ("activation", "relu", "leaky_relu, gelu, none"), ("activation", None, "leaky_relu, gelu, none"),
    ("rank_pattern", {"query": 0}, "at least 1"), ("rank_pattern", None, "at least 1"),
    ("alpha_pattern", {"query": "a"}, "numbers"), ("layers_pattern", "layer", "layers_to_transform"),
], ids=str)  # fmt: skip
def test_bad_values_name_the_field(field, value, allowed):
    with pytest.raises(ValueError, match=f"InAConfig: {field} is .*{allowed}") as error:
        InAConfig(**{field: value})
    assert repr(value) in str(error.value)


def test_a_regular_expression_chooses_the_layers_itself():
    with pytest.raises(ValueError, match=r"layers_to_transform is .*regular expression"):
        InAConfig(target_modules=".*query", layers_to_transform=[0])

"""MTLoRA: against a naive formula and LoRA of PEFT, in value and gradient; how it starts; its structures."""

import copy
import warnings

import peft
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ginets.tuners import MTLoraConfig
from ginets.tuners.mtlora.layer import MTLoraLayer
from tests.tuners.mtlora_parts import LAYERS, QKV, STRUCTURES, One, adapted, example, tensors


pytestmark = pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM")

STARTS = [
    (structure, init)
    for structure in STRUCTURES
    for init in ("identity", "original", "multimodal")
    if init != "multimodal" or structure in ("SHIM", "DTSM")
]


def naive_core(structure: str, C: torch.Tensor, D: torch.Tensor | None = None) -> torch.Tensor:
    if structure == "SHIM":
        return C
    if structure == "ICFM":
        return C @ C.T
    return C @ D if structure == "CTCM" else C + D


def naive_fused(structure: str, slices: list[bool], mix: bool, A, B, C, D=None) -> torch.Tensor:
    """B·T·A of a fused layer, slice by slice."""
    adapted = sum(slices)
    r, out = B.shape[1], B.shape[0] // adapted
    rows, done = [], 0
    for on in slices:
        if not on:
            rows.append(torch.zeros(out, A.shape[1]))
            continue
        up = B[done * out : (done + 1) * out]
        if mix:
            core = naive_core(structure, C, D)[done * r : (done + 1) * r]
            rows.append(up @ core @ A)
        else:
            core = naive_core(structure, C[done], None if D is None else D[done])
            rows.append(up @ core @ A[done * r : (done + 1) * r])
        done += 1
    return torch.cat(rows)


def compare_with(delta, layer: MTLoraLayer, base: nn.Module, x: torch.Tensor) -> None:
    """The layer's output and gradients against the base layer plus `delta`, a function of the layer's tensors."""
    copies = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors(layer).items()}
    naive_x = x.detach().clone().requires_grad_(x.is_floating_point())
    weight = delta(**copies)
    update = weight.T[naive_x] if isinstance(base, nn.Embedding) else naive_x @ weight.T
    expected = base(naive_x) + update
    got = layer(x)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    target = torch.randn_like(got)
    (got * target).sum().backward()
    (expected * target).sum().backward()
    for name, tensor in tensors(layer).items():
        torch.testing.assert_close(tensor.grad, copies[name].grad, rtol=1e-5, atol=1e-5, msg=name)
    if x.is_floating_point():
        torch.testing.assert_close(x.grad, naive_x.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_value_and_gradients_are_those_of_the_formula(structure, kind):
    base = LAYERS[kind]()
    model, layer = adapted(copy.deepcopy(base), structure=structure, init_weights=False)

    def delta(A, B, C, D=None):
        return 5 / 3 * B @ naive_core(structure, C, D) @ A

    compare_with(delta, layer, base, example(base))
    weight = delta(**tensors(layer))
    torch.testing.assert_close(layer.get_delta_weight("default"), weight if kind == "linear" else weight.T)
    assert model.training


@pytest.mark.parametrize("slices", [QKV, [True, False, True], [False, True, False], [False, True]])
@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_fused_layers_are_adapted_slice_by_slice(structure, mix, slices):
    base = Conv1D(12, 6)
    _, layer = adapted(
        copy.deepcopy(base), structure=structure, mix_slices=mix, fused_modules={"layer": slices}, init_weights=False
    )
    adapted_slices = sum(slices)
    assert layer.weight_of("A", "default").shape == (3 * adapted_slices, 6)
    assert layer.weight_of("B", "default").shape == (12 // len(slices) * adapted_slices, 3)

    def delta(A, B, C, D=None):
        return 5 / 3 * naive_fused(structure, slices, mix or adapted_slices == 1, A, B, C, D)

    compare_with(delta, layer, base, example(base))


def test_without_mixing_a_slice_sees_only_its_own_tensors():
    _, layer = adapted(nn.Linear(6, 12), fused_modules={"layer": QKV}, init_weights=False)
    before = layer.get_delta_weight("default")
    with torch.no_grad():
        layer.mtlr_C["default"][1] += 1
    changed = (layer.get_delta_weight("default") != before).any(1)
    assert changed.tolist() == [False] * 4 + [True] * 4 + [False] * 4


# ---------------------------------------------------------------------- start


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_core_starts_as_the_identity_and_the_model_as_the_base(structure, kind):
    base = LAYERS[kind]()
    _, layer = adapted(copy.deepcopy(base), structure=structure)
    assert torch.equal(layer.core("default"), torch.eye(3))
    x = example(base)
    assert torch.equal(layer(x), base(x))


@pytest.mark.parametrize("mix", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_core_of_a_fused_layer_starts_as_the_identity(structure, mix):
    _, layer = adapted(nn.Linear(6, 12), structure=structure, mix_slices=mix, fused_modules={"layer": QKV})
    assert torch.equal(layer.core("default"), torch.eye(9))
    assert layer.mtlr_C["default"].shape == ((9, 9) if mix else (3, 3, 3))


def test_the_other_starts():
    _, layer = adapted(nn.Linear(6, 600), r=100, structure="DTSM", init="original")
    for name in "CD":  # uniform between ±1/√r: E‖C + D‖² = 2r/3
        assert layer.weight_of(name, "default").abs().max() <= 0.1
    assert layer.core("default").square().sum().item() == pytest.approx(200 / 3, rel=0.05)
    assert not layer.weight_of("B", "default").any()
    _, layer = adapted(nn.Linear(600, 600), r=50, init="multimodal")
    assert not layer.mtlr_C["default"].any()
    for name in "AB":
        assert layer.weight_of(name, "default").std().item() == pytest.approx(0.02, rel=0.05)
    _, layer = adapted(nn.Embedding(400, 6), r=50, init="original")
    assert layer.mtlr_A["default"].abs().max() <= 1 / 20
    assert layer.mtlr_A["default"].std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.05)
    assert not layer.mtlr_B["default"].any()


@pytest.mark.parametrize("kind", [*LAYERS, "fused", "fused and mixed"])
@pytest.mark.parametrize(("structure", "init"), STARTS)
def test_every_parameter_moves(structure, init, kind):
    more = {"fused_modules": {"layer": QKV}, "mix_slices": "mixed" in kind} if "fused" in kind else {}
    base = LAYERS[kind]() if kind in LAYERS else Conv1D(12, 6)
    _, layer = adapted(base, structure=structure, init=init, **more)
    x = torch.arange(11) if kind == "embedding" else torch.randn(20, 6)
    target = torch.randn_like(layer(x))
    start = {name: tensor.detach().clone() for name, tensor in tensors(layer).items()}
    optimizer = torch.optim.SGD(tensors(layer).values(), lr=0.5)
    for _ in range(4):
        optimizer.zero_grad()
        nn.functional.mse_loss(layer(x), target).backward()
        optimizer.step()
    for name, tensor in tensors(layer).items():
        assert (tensor != start[name]).float().mean() > 0.99, name


@pytest.mark.parametrize("structure", ["ICFM", "CTCM"])
def test_products_of_zeros_would_never_train(structure):
    names = {"A": (3, 6), "B": (12, 3), "C": (3, 3)} | ({"D": (3, 3)} if structure == "CTCM" else {})
    values = {name: torch.randn(shape).requires_grad_() for name, shape in names.items()}
    with torch.no_grad():
        values["C"].zero_()
        values.get("D", values["C"]).zero_()
    cores = {name: tensor for name, tensor in values.items() if name in "CD"}
    (values["B"] @ naive_core(structure, **cores) @ values["A"]).square().sum().backward()
    assert not any(tensor.grad.any() for tensor in values.values())
    with pytest.raises(ValueError, match=rf"init is 'multimodal'.*structure {structure}.*gradients are zero"):
        MTLoraConfig(structure=structure, init="multimodal")


def lora_of(base: nn.Module) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """PEFT's LoRA beside the same layer, and its A and B."""
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules=["layer"], fan_in_fan_out=isinstance(base, Conv1D))
    layer = peft.get_peft_model(One(copy.deepcopy(base)), config).base_model.model.layer
    if isinstance(base, nn.Embedding):
        return layer, {"A": layer.lora_embedding_A["default"], "B": layer.lora_embedding_B["default"]}
    return layer, {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight}


@pytest.mark.parametrize("drawn", [True, False], ids=["as drawn", "A and B filled"])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_first_step_is_that_of_peft_lora(structure, kind, drawn):
    base = LAYERS[kind]().double()
    torch.manual_seed(3)
    lora, theirs = lora_of(base)
    torch.manual_seed(3)
    _, layer = adapted(base, structure=structure)
    ours = tensors(layer)
    assert all(torch.equal(ours[name], theirs[name]) for name in "AB")
    if not drawn:  # at the start only one of A and B has a gradient
        with torch.no_grad():
            for name in "AB":
                ours[name].copy_(theirs[name].normal_())
    x = example(base)
    x = x.double() if x.is_floating_point() else x
    torch.testing.assert_close(layer.get_delta_weight("default"), lora.get_delta_weight("default"))
    outputs = layer(x), lora(x)
    torch.testing.assert_close(*outputs)
    got, expected = (
        torch.autograd.grad(output.square().sum(), [weights["A"], weights["B"]])
        for output, weights in zip(outputs, (ours, theirs), strict=True)
    )
    torch.testing.assert_close(got, expected)
    assert any(gradient.any() for gradient in got)


# ---------------------------------------------------------------------- structures


def test_icfm_is_positive_semidefinite_everywhere():
    for kind, make in LAYERS.items():
        _, layer = adapted(make(), structure="ICFM", init_weights=False)
        core, C = layer.core("default"), layer.mtlr_C["default"]
        torch.testing.assert_close(core, C @ C.T)
        assert torch.linalg.eigvalsh(core).min() > -1e-6, kind


def test_dtsm_is_shim_with_twice_the_step():
    base, x, target = nn.Linear(6, 12), torch.randn(20, 6), torch.randn(20, 12)
    cores, apart = {}, []
    for structure, rate in (("SHIM", 0.2), ("DTSM", 0.1)):
        torch.manual_seed(0)
        _, layer = adapted(copy.deepcopy(base), structure=structure)
        parts = tensors(layer)
        own = [tensor for name, tensor in parts.items() if name in "CD"]
        optimizer = torch.optim.SGD([{"params": [parts["A"], parts["B"]]}, {"params": own, "lr": rate}], lr=0.1)
        for _ in range(10):
            optimizer.zero_grad()
            nn.functional.mse_loss(layer(x), target).backward()
            if structure == "DTSM":
                assert torch.equal(parts["C"].grad, parts["D"].grad)
            optimizer.step()
        cores[structure] = layer.core("default").detach()
        apart.append(own)
    torch.testing.assert_close(cores["SHIM"], cores["DTSM"])
    assert (cores["SHIM"] - torch.eye(3)).abs().max() > 1e-3
    C, D = apart[1]
    torch.testing.assert_close(C - D, torch.eye(3))


def test_dtsm_says_so():
    with pytest.warns(UserWarning, match="twice the step"):
        adapted(nn.Linear(6, 12), structure="DTSM")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapted(nn.Linear(6, 12), structure="DTSM", inference_mode=True)

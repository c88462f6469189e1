"""What every method does alike: merging, export, precision, memory, checkpointing, compiling."""

import copy

import pytest
import torch
from peft import PeftModel, convert_to_lora, get_peft_model, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers.pytorch_utils import Conv1D

from ginets import to_lora
from ginets.tuners import NotMergeableError
from tests.tuners.methods import (
    CASES,
    KINDS,
    LINEAR,
    METHODS,
    adapted,
    adapter_weights,
    base_model,
    branches,
    config_of,
    every_kind,
    every_method,
    inputs,
    logits,
)


every_linear_form = pytest.mark.parametrize("form", LINEAR)
pytestmark = pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM")


def base_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: branch.get_base_layer().weight.detach().clone() for name, branch in branches(model).items()}


# ---------------------------------------------------------------------- merging


@pytest.mark.parametrize("form,kind", [case for case in CASES if case[0] != "ina"])
def test_merging(form, kind):
    model = adapted(form, kind)
    before, weights = logits(model), base_weights(model)
    model.merge_adapter(safe_merge=True)
    assert all(not torch.allclose(weight, weights[name]) for name, weight in base_weights(model).items())
    assert torch.allclose(logits(model), before, atol=1e-5)
    model.unmerge_adapter()
    assert torch.allclose(logits(model), before, atol=1e-5)
    # what is added and subtracted again is rounded at the size of the update
    size = max(branch.get_delta_weight("default").abs().max().item() for branch in branches(model).values())
    assert all(torch.allclose(w, weights[name], atol=2e-7 * (1 + size)) for name, w in base_weights(model).items())
    model.merge_adapter()
    with model.disable_adapter():
        assert torch.allclose(logits(model), logits(base_model(KINDS[kind][0])), atol=1e-4)
    model.merge_adapter()

    plain = model.merge_and_unload()
    assert not any(isinstance(module, BaseTunerLayer) for module in plain.modules())
    assert type(plain) is type(base_model(KINDS[kind][0]))
    assert torch.allclose(logits(plain), before, atol=1e-5)


@every_linear_form
def test_several_adapters_merge(form):
    model, config = adapted(form), config_of(form, r=3)
    torch.manual_seed(1)
    model.add_adapter("second", config)
    alone = []
    for adapter in ("default", "second"):
        merged = copy.deepcopy(model)
        merged.merge_adapter([adapter])
        alone.append({name: w - base_weights(model)[name] for name, w in base_weights(merged).items()})
    merged = copy.deepcopy(model)
    merged.merge_adapter(["second", "default"])
    for name, weight in base_weights(merged).items():
        assert torch.allclose(weight, base_weights(model)[name] + alone[0][name] + alone[1][name], atol=1e-5)
    with pytest.raises(ValueError, match="unmerge_adapter"):
        logits(merged, adapter_names=["default"] * 3)


@every_linear_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("cast", [True, False])
def test_merging_in_half_precision(form, dtype, cast):
    """The merged weight is the rounded sum; the products of a half-precision adapter are rounded once more."""
    model = get_peft_model(base_model("bert", dtype=dtype), config_of(form), autocast_adapter_dtype=cast).eval()
    reference = copy.deepcopy(model).double()
    model.merge_adapter(safe_merge=True)
    reference.merge_adapter()
    for name, branch in branches(model).items():
        twin, weight = branches(reference)[name], branch.get_base_layer().weight
        exact, (down, up) = twin.get_base_layer().weight, twin.factors("default")
        size = exact.abs() + twin.get_delta_weight("default").abs()
        error = (weight - exact).abs() / torch.finfo(dtype).eps
        assert weight.dtype == dtype
        if cast:
            assert (error <= size + 1e-4).all()
        else:
            assert (error <= size + 4 * twin.scaling["default"] * up.norm(dim=1)[:, None] * down.norm(dim=0)).all()


@every_linear_form
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_safe_merging_leaves_the_base_weight(form, value):
    model = adapted(form)
    weights = base_weights(model)
    *_, last = branches(model).values()
    with torch.no_grad():
        last.weight_of("B", "default")[0, 0] = value
    with pytest.raises(ValueError, match=r"NaNs detected in the merged weights\. .*default.*unchanged"):
        last.merge(safe_merge=True)
    with pytest.raises(ValueError, match="NaNs"):
        copy.deepcopy(model).merge_and_unload(safe_merge=True)
    assert all(torch.equal(weight, weights[name]) for name, weight in base_weights(model).items())


REFUSED = {
    "merge_adapter": lambda model: model.merge_adapter(),
    "merge_and_unload": lambda model: model.merge_and_unload(),
    "by name": lambda model: model.merge_and_unload(adapter_names=["default"]),
    "weighted": lambda model: model.add_weighted_adapter(["default"], [1.0], "sum"),
    "layer": lambda model: next(iter(branches(model).values())).merge(),
    "to_lora": lambda model: to_lora(model, "nowhere"),
}


@every_kind
@pytest.mark.parametrize("attempt", REFUSED)
def test_an_inhibited_adapter_is_no_weight(kind, attempt):
    model = adapted("ina", kind)
    before = logits(model)
    with pytest.raises(NotMergeableError, match=r"inhibition_level 0\.3.*[Kk]eep.*ginets\.fold"):
        REFUSED[attempt](model)
    assert torch.equal(logits(model), before)
    assert not any(branch.merged for branch in branches(model).values())


def test_an_inhibited_adapter_is_not_converted():
    model = adapted("ina")
    assert not model.supports_lora_conversion()
    with pytest.raises((TypeError, ValueError), match=r"conver"):
        convert_to_lora(model, rank=4)


@every_linear_form
def test_converted_by_peft(form):
    """PEFT's own conversion is a singular value decomposition of `get_delta_weight`; at full rank it is exact."""
    torch.manual_seed(0)
    base, x = nn.Sequential(nn.Linear(12, 10)), torch.randn(3, 12)
    config = config_of(form, target_modules=["0"], task_type=None)
    model = get_peft_model(copy.deepcopy(base), config).eval()
    converted, weights = convert_to_lora(model, rank=4)
    lora = get_peft_model(base, converted).eval()
    set_peft_model_state_dict(lora, weights)
    assert torch.allclose(lora(x), model(x), atol=1e-5)


# ---------------------------------------------------------------------- precision


@every_kind
@pytest.mark.parametrize("form", [*METHODS, "ina_p0"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("cast", [True, False])
def test_half_precision_bases(form, kind, dtype, cast):
    family = KINDS[kind][0]
    torch.manual_seed(0)
    model = get_peft_model(base_model(family, dtype=dtype), config_of(form, kind), autocast_adapter_dtype=cast).eval()
    wide = copy.deepcopy(model).float()
    assert {weight.dtype for weight in adapter_weights(model).values()} == {torch.float32 if cast else dtype}
    output = model(**inputs(model)).logits
    assert output.dtype == dtype
    assert (output - logits(wide)).abs().max() <= 30 * torch.finfo(dtype).eps * logits(wide).abs().max()
    output.float().square().mean().backward()
    assert all(w.grad.isfinite().all() for w in adapter_weights(model).values() if w.requires_grad)


@every_method
def test_autocast(method):
    model = adapted(method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**inputs(model)).logits
    output.float().mean().backward()
    assert torch.allclose(output.float(), logits(model), atol=0.05)
    assert all(w.grad.isfinite().all() for w in adapter_weights(model).values() if w.requires_grad)


@every_method
@pytest.mark.parametrize("layer", [nn.Linear(5, 6), nn.Linear(5, 6, bias=False), Conv1D(6, 5)])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 2, 3, 5), (0, 5)])
def test_any_number_of_axes(method, layer, shape):
    torch.manual_seed(0)
    config = METHODS[method](target_modules=["0"], r=3, init_weights=False)
    model = get_peft_model(nn.Sequential(copy.deepcopy(layer)), config).eval()
    x = torch.randn(shape)
    rows = [model(row) for row in x.reshape(-1, 5)]
    expected = torch.stack(rows).view(*shape[:-1], 6) if rows else torch.empty(0, 6)
    assert model(x).shape == (*shape[:-1], 6)
    assert torch.allclose(model(x), expected, atol=1e-6)


# ---------------------------------------------------------------------- memory and speed


@every_method
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(method, reentrant):
    def gradients(checkpointing: bool) -> dict:
        model = adapted(method, **{METHODS[method].dropout_field: 0.2})
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model.train()
        torch.manual_seed(3)
        model(**inputs(model)).logits.square().mean().backward()
        return {name: weight.grad for name, weight in adapter_weights(model).items()}

    plain, recomputed = gradients(False), gradients(True)
    assert all(torch.allclose(recomputed[name], grad, atol=1e-6) and grad.any() for name, grad in plain.items())


@every_kind
@every_method
def test_low_cpu_mem_usage(method, kind, tmp_path):
    model = adapted(method, kind)
    model.save_pretrained(tmp_path)
    base = base_model(KINDS[kind][0])
    empty = get_peft_model(copy.deepcopy(base), config_of(method, kind), low_cpu_mem_usage=True)
    assert {weight.device.type for weight in adapter_weights(empty).values()} == {"meta"}
    loaded = PeftModel.from_pretrained(base, tmp_path, low_cpu_mem_usage=True).eval()
    assert torch.equal(logits(loaded), logits(model))
    loaded.load_adapter(tmp_path, "other", low_cpu_mem_usage=True)
    loaded.set_adapter("other")
    assert torch.equal(logits(loaded), logits(model))


@every_method
def test_one_graph(method):
    check_compiled(method, backend="aot_eager")


@pytest.mark.usefixtures("cpp_compiler")
def test_compiled():
    check_compiled("ina", backend="inductor")


def check_compiled(method: str, backend: str):
    """Traced whole by torch's compiler, without a break, forward and backward."""
    torch.manual_seed(0)
    config = config_of(method, target_modules=["0", "2"], task_type=None)
    model = get_peft_model(nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 8)), config)
    x = torch.randn(4, 5, 8)
    compiled = torch.compile(copy.deepcopy(model), backend=backend, fullgraph=True)
    for run in (model, compiled):
        run(x).square().mean().backward()
    assert torch.allclose(compiled(x), model(x), atol=1e-6)
    for (name, weight), twin in zip(model.named_parameters(), compiled.parameters(), strict=True):
        assert not weight.requires_grad or torch.allclose(weight.grad, twin.grad, atol=1e-6), name

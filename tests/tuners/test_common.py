"""What every method does alike, on linear layers, `Conv1D` and embeddings: start, switch off, several adapters, mixed
batches, places, precision, memory."""

import copy
from dataclasses import fields

import pytest
import torch
from peft import PeftConfig, get_peft_model, inject_adapter_in_model
from torch import nn

from ginets import DebertaV2GIForSequenceClassification
from ginets.tuners import LowRankLayer
from tests import tiny
from tests.tuners.methods import (
    KINDS,
    METHODS,
    adapted,
    adapter_weights,
    base_model,
    branches,
    config_of,
    every_case,
    every_kind,
    every_method,
    inputs,
    logits,
)


pytestmark = pytest.mark.filterwarnings("ignore:MTLoRA's structure DTSM")


# ---------------------------------------------------------------------- start, switching off


@every_case
def test_starts_as_the_base_model(form, kind):
    assert torch.equal(logits(adapted(form, kind, trained=False)), logits(base_model(KINDS[kind][0])))


@every_case
def test_switched_off_it_is_the_base_model(form, kind):
    model, base = adapted(form, kind), logits(base_model(KINDS[kind][0]))
    before = logits(model)
    assert not torch.allclose(before, base)
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    assert torch.equal(logits(model), before)
    assert torch.equal(logits(model.unload()), base)


@every_case
def test_only_the_adapter_and_the_head_train(form, kind):
    model = adapted(form, kind)
    model(**inputs(model)).logits.square().mean().backward()
    grads = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    heads = {name for name in grads if "modules_to_save" in name}
    # the square layers of this form start frozen
    fixed = {n for n in adapter_weights(model) if form == "aflora_scaled" and kind == "linear" and matrix(n) in "AB"}
    assert grads.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert grads.keys() == adapter_weights(model).keys() - fixed | heads
    assert bool(heads) == (kind == "linear")
    assert all(grad.abs().sum() > 0 for name, grad in grads.items() if name not in heads)


def matrix(name: str) -> str:
    """`A` of `….aflr_A.default.weight`."""
    return name.split("_")[-1].split(".")[0]


@pytest.mark.parametrize("form,extra", [
    ("ina", 0),
    ("sora", 4),
    ("aflora", 4 + 32),
    ("mtlora", 16),
    ("mtlora_icfm", 16),
    ("mtlora_ctcm", 32),
    ("mtlora_dtsm", 32),
])  # fmt: skip
def test_parameter_count(form, extra, capsys):
    """BERT, 3 layers, query and value, 32 → 32 at rank 4, beside a classifier of 32·2 + 2."""
    model = adapted(form)
    branch = 4 * (32 + 32) + extra
    trainable, total = model.get_nb_trainable_parameters()
    assert trainable == 3 * 2 * branch + 66
    base = sum(parameter.numel() for parameter in base_model("bert").parameters())
    assert total == base + 3 * 2 * branch + 66  # the classifier is there twice: the trained one and the original
    model.print_trainable_parameters()
    assert f"trainable params: {trainable:,d} || all params: {total:,d}" in capsys.readouterr().out


# ---------------------------------------------------------------------- several adapters


@every_kind
@every_method
def test_several_adapters(method, kind):
    model, alone = adapted(method, kind), adapted(method, kind, seed=1, r=8)
    first, config = logits(model), config_of(method, kind, r=8)
    torch.manual_seed(1)
    model.add_adapter("second", config)
    assert torch.equal(logits(model), first)
    trains = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trains and not any("second" in name for name in trains)

    # the classifier of the second one is copied from the base model, too
    model.set_adapter("second")
    assert torch.equal(logits(model), logits(alone))
    assert not any(".default" in name for name, parameter in model.named_parameters() if parameter.requires_grad)

    model.delete_adapter("default")
    assert torch.equal(logits(model), logits(alone))
    assert not adapter_weights(model) and set(model.peft_config) == {"second"}
    with pytest.raises(ValueError, match="default"):
        model.set_adapter("default")


@every_method
def test_active_adapters_add_up(method):
    """On a single layer, where the sum can be formed by hand."""
    torch.manual_seed(0)
    base, x = nn.Sequential(nn.Linear(5, 6)), torch.randn(3, 5)
    config = METHODS[method](target_modules=["0"], r=3, init_weights=False)
    model = get_peft_model(copy.deepcopy(base), config).eval()
    model.add_adapter("second", config)
    updates = []
    for adapter in ("default", "second"):
        model.set_adapter(adapter)
        updates.append(model(x) - base(x))
    model.base_model.set_adapter(["default", "second"])
    assert torch.allclose(model(x), base(x) + sum(updates), atol=1e-6)


@every_case
def test_every_row_its_own_adapter(form, kind):
    model, config = adapted(form, kind), config_of(form, kind, r=2)
    torch.manual_seed(1)
    model.add_adapter("second", config)
    with model.disable_adapter():
        expected = [logits(model)[0]]
    for row, adapter in enumerate(("default", "second"), start=1):
        model.set_adapter(adapter)
        expected.append(logits(model)[row])
    mixed = logits(model, adapter_names=["__base__", "default", "second"])
    assert torch.allclose(mixed, torch.stack(expected), atol=1e-5)
    # switched off is stronger
    with model.disable_adapter():
        assert torch.equal(logits(model, adapter_names=["default"] * 3), logits(model))


@every_method
def test_rows_of_a_deberta(method):
    """Its projections also read the table of positions, which is no batch: one row works, several are refused."""
    torch.manual_seed(0)
    settings = {"num_labels": 3, "pos_att_type": ["p2c", "c2p"], "share_att_key": True, "initializer_range": 0.3}
    base = DebertaV2GIForSequenceClassification(tiny.config("deberta_v2_gi", **settings))
    model = get_peft_model(
        base, config_of(method, target_modules=["query_proj", "key_proj"], task_type="SEQ_CLS")
    ).eval()
    one = {name: tensor[:1] for name, tensor in inputs(model, length=3).items()}
    with torch.no_grad():
        assert torch.equal(model(**one, adapter_names=["default"]).logits, model(**one).logits)
        with model.disable_adapter():
            bare = model(**one).logits
        assert torch.equal(model(**one, adapter_names=["__base__"]).logits, bare) and not torch.equal(
            bare, model(**one).logits
        )
        for batch in (2, 5):  # with three tokens the table has five rows
            several = inputs(model, batch, length=3)
            with pytest.raises(ValueError, match=f"got {batch} and 1"):
                model(**several, adapter_names=["default", "__base__", "default", "__base__", "default"][:batch])


@every_method
def test_rows_that_cannot_be(method):
    model = adapted(method)
    with pytest.raises(ValueError, match=r"non-existing adapter\(s\): nobody"):
        logits(model, adapter_names=["default", "nobody", "__base__"])
    with pytest.raises(ValueError, match="2 and 3"):
        logits(model, adapter_names=["default", "default"])
    with pytest.raises(ValueError, match="training mode"):
        logits(model.train(), adapter_names=["default"] * 3)


@every_method
@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize("beams", [1, 2])
def test_generation_with_mixed_rows(method, family, beams):
    model = base_model(family)
    torch.manual_seed(0)
    config = METHODS[method](r=4, init_weights=False, task_type="CAUSAL_LM" if family == "gpt2" else "SEQ_2_SEQ_LM")
    model = get_peft_model(model, config, adapter_name="first").eval()
    model.add_adapter("second", config)
    ids = {"input_ids": torch.randint(5, 99, (3, 4)), "attention_mask": torch.ones(3, 4, dtype=torch.long)}
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False, "num_beams": beams}
    with model.disable_adapter():
        rows = [model.generate(**ids, **options)[0]]
    for row, adapter in enumerate(("first", "second"), start=1):
        model.set_adapter(adapter)
        rows.append(model.generate(**ids, **options)[row])
    mixed = model.generate(**ids, **options, adapter_names=["__base__", "first", "second"])
    assert torch.equal(mixed, torch.stack(rows))


# ---------------------------------------------------------------------- which modules, which sizes


@every_method
def test_places_and_sizes(method):
    config = METHODS[method](
        r=4,
        target_modules=["query", "key", "value", "dense"],
        exclude_modules=["attention.output.dense", "pooler.dense"],
        layers_to_transform=[0, 2],
        rank_pattern={"value": 2, "layer.2.attention.self.query": 3},
        alpha_pattern={"key": 6},
        modules_to_save=["classifier"],
        **{METHODS[method].alpha_field: 8},
    )
    model = get_peft_model(base_model("bert"), config)
    start = "base_model.model.bert.encoder.layer."
    places = {name.removeprefix(start): (b.r["default"], b.scaling["default"]) for name, b in branches(model).items()}
    assert places == {
        "0.attention.self.query": (4, 2.0),
        "0.attention.self.key": (4, 1.5),
        "0.attention.self.value": (2, 4.0),
        "0.intermediate.dense": (4, 2.0),
        "0.output.dense": (4, 2.0),
        "2.attention.self.query": (3, 8 / 3),
        "2.attention.self.key": (4, 1.5),
        "2.attention.self.value": (2, 4.0),
        "2.intermediate.dense": (4, 2.0),
        "2.output.dense": (4, 2.0),
    }
    head = model.base_model.model.classifier
    assert head.modules_to_save["default"].weight.requires_grad and not head.original_module.weight.requires_grad


@every_method
def test_all_linear_leaves_the_head_alone(method):
    model = get_peft_model(base_model("bert"), METHODS[method](target_modules="all-linear", task_type="SEQ_CLS"))
    names = {name.rsplit(".", 1)[-1] for name in branches(model)}
    assert names == {"query", "key", "value", "dense"}


@every_method
@pytest.mark.parametrize("module", [nn.Conv2d(3, 4, 2), nn.MultiheadAttention(4, 2), nn.LayerNorm(4)])
def test_other_modules_are_refused(method, module):
    with pytest.raises(ValueError, match=rf"'0'.*{type(module).__name__}.*not support.*nn\.Linear"):
        get_peft_model(nn.Sequential(module), METHODS[method](target_modules=["0"]))


@every_method
def test_names_that_are_not_there(method):
    with pytest.raises(ValueError, match="nowhere"):
        get_peft_model(base_model("bert"), METHODS[method](target_modules=["nowhere"]))


@every_method
@pytest.mark.parametrize("field,value", [
    ("r", 0),
    ("r", 2.0),
    ("rank_pattern", {"query": 0}),
    ("alpha_pattern", {"query": "much"}),
    ("dropout", 1.0),
    ("alpha", "16"),
    ("alpha", None),
    ("layers_pattern", "layer"),
    ("target_modules", 5),
    ("exclude_modules", ["query", 1]),
    ("modules_to_save", "classifier"),
    ("layers_to_transform", "last"),
    ("layers_to_transform", [-1]),
])  # fmt: skip
def test_bad_values_are_refused_by_name(method, field, value):
    config = METHODS[method]
    name = {"alpha": config.alpha_field, "dropout": config.dropout_field}.get(field, field)
    if field == "alpha" and value is None and method == "aflora":
        assert config(**{name: value}).alpha is None  # its branch is not scaled
        return
    with pytest.raises(ValueError, match=rf"{config.__name__}: {name} is .*; allowed: "):
        config(**{name: value})


@every_method
def test_every_field_is_explained(method):
    inherited = {field.name for field in fields(PeftConfig)}
    assert all(len(field.metadata["help"]) > 10 for field in fields(METHODS[method]) if field.name not in inherited)


# ---------------------------------------------------------------------- other doors


@every_method
def test_injected_without_a_wrapper(method):
    config = config_of(method)
    model = base_model("bert")
    torch.manual_seed(0)
    model = inject_adapter_in_model(config, model).eval()
    assert torch.equal(logits(model), logits(adapted(method)))
    assert sum(isinstance(module, LowRankLayer) for module in model.modules()) == 6


@every_method
def test_the_models_own_adapter_methods(method, tmp_path):
    """`add_adapter`, `save_pretrained`, `load_adapter`, … of transformers."""
    model, config = base_model("bert"), config_of(method, task_type=None)
    base = logits(model)
    torch.manual_seed(0)
    model.add_adapter(config, adapter_name="one")
    model.eval()
    with_one = logits(model)
    assert not torch.allclose(with_one, base)
    model.save_pretrained(tmp_path)
    model.disable_adapters()
    assert torch.equal(logits(model), base)
    model.enable_adapters()
    assert torch.equal(logits(model), with_one)

    again = base_model("bert")
    found = again.load_adapter(str(tmp_path), adapter_name="again")
    assert not found.missing_keys and not found.unexpected_keys
    assert torch.equal(logits(again), with_one)
    again.load_adapter(str(tmp_path), adapter_name="other")
    again.delete_adapter("again")
    again.set_adapter("other")
    assert torch.equal(logits(again), with_one)

"""Gated families against naive formulas on the stock models: identity, values, gradients, names, no leakage."""

import pytest
import torch
from torch import nn
from transformers import DynamicCache, EncoderDecoderCache

import ginets
from ginets.models.gated import GatedAttention
from ginets.ops.disentangled_bias import disentangled_bias
from tests.reference.gates import attach_gates
from tests.tiny import BOTH, BY_TYPE, backbone_class, config, inputs, randomise, stock_backbone_class, stock_config


GATED = [name for name in BY_TYPE if name != "llama_ina"]
ATTENTION = {"bert_gi": ["eager", "sdpa"], "roberta_gi": ["eager", "sdpa"], "deberta_v2_gi": ["eager", "sdpa"]}
SIDES = [{"gi_query_side": True}, {"gi_key_side": True}, BOTH]


def pair(model_type, attention="eager", **flags):
    """A stock backbone and ours with the same stock weights, both in eval mode."""
    stock_attention = "eager" if model_type == "deberta_v2_gi" else attention
    stock = stock_backbone_class(model_type)(stock_config(model_type, attn_implementation=stock_attention)).eval()
    ours = backbone_class(model_type)(config(model_type, attn_implementation=attention, **flags)).eval()
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and all("inhibition_" in name or "select_" in name for name in missing)
    return stock, ours


@pytest.mark.parametrize("model_type,attention", [(kind, a) for kind in GATED for a in ATTENTION[kind]])
@pytest.mark.parametrize("flags", [{}, *SIDES, BOTH | {"gi_rank": 4}], ids=str)
def test_identity_at_start(model_type, attention, flags):
    stock, ours = pair(model_type, attention, **flags)
    given = inputs()
    given["attention_mask"][0, 5:] = 0
    keep = given["attention_mask"].bool()
    difference = (ours(**given)[0] - stock(**given)[0])[keep].abs().max()
    assert difference <= (1e-5 if model_type == "deberta_v2_gi" else 0.0)


@pytest.mark.parametrize("model_type", GATED)
@pytest.mark.parametrize("scope", ["token", "batch"])
@pytest.mark.parametrize("sides", SIDES, ids=lambda sides: "+".join(sides))
def test_the_formula_in_values_and_gradients(model_type, scope, sides):
    """Large random gates: tells exact from tanh GELU and a detached maximum from a live one."""
    stock, ours = pair(model_type, inhibition_scope=scope, gi_layer_num=2, **sides)
    randomise(ours)
    stock.load_state_dict(ours.state_dict(), strict=False)
    own = {name: p for name, p in ours.named_parameters() if "inhibition_" in name or "select_" in name}
    attach_gates(stock, ours)  # the reference reads the gates that ours holds

    given = inputs(batch=3, length=9)
    given["attention_mask"][1, 6:] = 0
    keep = given["attention_mask"].bool()
    results = []
    for model in (ours, stock):
        ours.zero_grad(), stock.zero_grad()
        output = model(**given)[0]
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)) * keep[..., None]
        (output * weights).sum().backward()
        gate_grads = [p.grad.clone() for p in own.values()]
        shared = [p.grad for name, p in model.named_parameters() if name not in own and p.grad is not None]
        results.append((output[keep].detach(), gate_grads, [grad.clone() for grad in shared]))
    (value, gates, shared), (value_, gates_, shared_) = results
    torch.testing.assert_close(value, value_, rtol=1e-5, atol=1e-5)
    assert len(gates) == 2 * len(sides) * 4 and len(shared) == len(shared_)
    for grad, reference in zip(gates + shared, gates_ + shared_, strict=True):
        torch.testing.assert_close(grad, reference, rtol=1e-4, atol=1e-5 * max(1.0, reference.abs().max().item()))
    assert all(grad.abs().sum() > 0 for grad in gates)


@pytest.mark.parametrize("model_type", GATED)
def test_state_dict_of_the_original_code_loads(model_type, tmp_path):
    """Original names; the layer that the original's off-by-one rule leaves ungated (the first) becomes a no-op."""
    original = randomise(backbone_class(model_type)(config(model_type, **BOTH))).eval()
    first = "encoder.layer.0.attention.self."
    published = {
        name: tensor
        for name, tensor in original.state_dict().items()
        if not name.startswith((f"{first}inhibition_", f"{first}select_"))
    }
    original.save_pretrained(tmp_path, state_dict=dict(published))
    loaded, report = backbone_class(model_type).from_pretrained(tmp_path, output_loading_info=True)
    modules = [f"{part}_{side}" for part in ("inhibition", "select") for side in "qk"]
    assert report["missing_keys"] == {f"{first}{m}.{tensor}" for m in modules for tensor in ("weight", "bias")}
    assert not report["unexpected_keys"]
    ungated = backbone_class(model_type)(config(model_type, gi_layer_num=2, **BOTH)).eval()
    ungated.load_state_dict(published)
    given = inputs()
    assert torch.equal(loaded.eval()(**given)[0], ungated(**given)[0])


@pytest.mark.parametrize("model_type", GATED)
def test_exactly_the_last_layers_are_gated_and_projections_stay_plain(model_type):
    model = backbone_class(model_type)(config(model_type, gi_layer_num=1, **BOTH))
    gated = {name.split(".")[2] for name, _ in model.named_parameters() if "select_q" in name}
    assert gated == {"2"}
    for layer in model.encoder.layer:
        attention = layer.attention.self
        for name in ("query", "key", "value", "query_proj", "key_proj", "value_proj"):
            assert type(getattr(attention, name, nn.Linear(1, 1))) is nn.Linear


@pytest.mark.parametrize("model_type", GATED)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_sample_depends_on_nothing_but_itself(model_type, attention):
    """Batch mates and padding change nothing; with the original's batch maximum they do."""
    flags = BOTH | {"inhibition_level": 0.9, "attn_implementation": attention}
    changed = {}
    for scope in ("token", "batch"):
        model = randomise(backbone_class(model_type)(config(model_type, inhibition_scope=scope, **flags))).eval()
        alone, mates = inputs(1, 7, seed=3), inputs(4, 12, seed=4)
        together = {key: value.clone() for key, value in mates.items()}
        together["input_ids"][0, :7], together["attention_mask"][0, 7:] = alone["input_ids"][0], 0
        if model_type == "roberta_gi":  # RoBERTa counts positions by what is not the padding token
            together["input_ids"][0, 7:] = 1
        changed[scope] = (model(**alone)[0][0] - model(**together)[0][0, :7]).abs().max().item()
    assert changed["token"] <= 1e-5 < 1e-3 < changed["batch"]


@pytest.mark.parametrize("head", ["BertGILMHeadModel", "RobertaGIForCausalLM"])
def test_decoders_do_not_see_the_future_and_cache_exactly(head):
    model_type = "bert_gi" if "Bert" in head and "Ro" not in head else "roberta_gi"
    flags = BOTH | {"is_decoder": True, "inhibition_level": 0.9}
    model = randomise(getattr(ginets, head)(config(model_type, **flags))).eval()
    ids = inputs(2, 10)["input_ids"]
    full = model(ids).logits
    changed = ids.clone()
    changed[:, 6:] = 7
    torch.testing.assert_close(model(changed).logits[:, :6], full[:, :6], rtol=0, atol=1e-6)

    cache = DynamicCache(config=model.config)
    steps = [model(ids[:, :4], past_key_values=cache, use_cache=True).logits]
    steps += [model(ids[:, i : i + 1], past_key_values=cache, use_cache=True).logits for i in range(4, 10)]
    torch.testing.assert_close(torch.cat(steps, dim=1), full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", ["BertGILMHeadModel", "RobertaGIForCausalLM"])
def test_cross_attention_is_gated_on_the_encoder_states(head):
    model_type = "bert_gi" if head.startswith("Bert") else "roberta_gi"
    flags = BOTH | {"is_decoder": True, "add_cross_attention": True, "gi_layer_num": 2}
    model = randomise(getattr(ginets, head)(config(model_type, **flags))).eval()
    crossing = [m for name, m in model.named_modules() if name.endswith("crossattention.self")]
    assert [isinstance(module, GatedAttention) for module in crossing] == [False, True, True]

    stock_name = head.replace("GI", "")
    stock = getattr(__import__("transformers"), stock_name)(
        stock_config(model_type, is_decoder=True, add_cross_attention=True)
    ).eval()
    stock.load_state_dict(model.state_dict(), strict=False)
    attach_gates(stock, model)
    encoder_states = torch.randn(2, 5, 32)
    ids = inputs(2, 6)["input_ids"]
    ours, reference = (m(ids, encoder_hidden_states=encoder_states, use_cache=False).logits for m in (model, stock))
    torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)

    cache = EncoderDecoderCache(DynamicCache(config=model.config), DynamicCache(config=model.config))
    steps = [
        model(ids[:, i : i + 1], encoder_hidden_states=encoder_states, past_key_values=cache, use_cache=True).logits
        for i in range(6)
    ]
    torch.testing.assert_close(torch.cat(steps, dim=1), ours, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", GATED)
def test_gates_start_closed_and_learn(model_type):
    """At the start only `select` has a gradient; after one step `inhibition` has one as well."""
    model = backbone_class(model_type)(config(model_type, **BOTH)).train()
    named = dict(model.named_parameters())
    select = [p for name, p in named.items() if "select_" in name]
    inhibition = [p for name, p in named.items() if "inhibition_" in name]
    assert all(p.abs().max() == 0 for p in select) and all(p.std() > 0.01 for p in inhibition if p.dim() == 2)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(2):
        optimiser.zero_grad()
        output = model(**inputs())[0]
        (output * torch.randn(output.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
        assert all((p.grad.abs().sum() > 0) for p in select)
        assert all((p.grad.abs().sum() > 0) == (step == 1) for p in inhibition)
        optimiser.step()


def test_masked_scores_of_deberta_stay_finite_in_float16():
    """A padded query sees nothing: were all its scores minus infinity, its softmax would be NaN and spread."""
    encoder = backbone_class("deberta_v2_gi")(config("deberta_v2_gi")).encoder
    mask = encoder.get_attention_mask(torch.zeros(1, 4), torch.zeros(1, 4, 32, dtype=torch.float16))
    query, table = torch.ones(1, 4, 4, 8).half(), torch.full((4, 7, 8), -4.0).half()  # every term is -32
    assert disentangled_bias(query, query, table, None, mask).isfinite().all()


def test_a_model_without_a_side_says_so_once(caplog):
    with caplog.at_level("WARNING"):
        ginets.BertGIForSequenceClassification(config("bert_gi"))
    assert [record.getMessage().count("no side is on") for record in caplog.records] == [1]
    caplog.clear()
    with caplog.at_level("WARNING"):
        ginets.BertGIForSequenceClassification(config("bert_gi", gi_key_side=True))
    assert not caplog.records

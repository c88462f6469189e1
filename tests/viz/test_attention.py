"""Attention captured from models, against softmax(QKᵀ/√d + mask) by hand and against what the layers made of it."""

import logging
import math
from typing import NamedTuple

import pytest
import torch
from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
from transformers import AutoModel, AutoModelForCausalLM, T5Config, T5Model

from ginets import InAConfig
from ginets.viz.attention import attention_weights, base_of, returning_weights
from tests import tiny
from tests.reference.disentangled import disentangled_bias, table_row
from tests.reference.gates import branch, gate
from tests.tuners.methods import STOCK


class Parts(NamedTuple):
    """Where a family keeps its attention: the module of a layer, its projections, what reads the context."""

    attention: str
    projections: tuple[str, ...]
    reader: str


BERT = Parts("encoder.layer.{}.attention.self", ("query", "key", "value"), "encoder.layer.{}.attention.output.dense")
LLAMA = Parts("layers.{}.self_attn", ("q_proj", "k_proj", "v_proj"), "layers.{}.self_attn.o_proj")
PARTS = {
    "bert": BERT,
    "roberta": BERT,
    "deberta_v2": BERT._replace(projections=("query_proj", "key_proj", "value_proj")),
    "gpt2": Parts("h.{}.attn", ("c_attn",), "h.{}.attn.c_proj"),
    "bloom": Parts("h.{}.self_attention", ("query_key_value",), "h.{}.self_attention.dense"),
    "llama": LLAMA,
}
CAUSAL = ("gpt2", "bloom", "llama")
OURS = {"bert_gi": "bert", "roberta_gi": "roberta", "deberta_v2_gi": "deberta_v2", "llama_ina": "llama"}
ADAPTERS = {
    "ina": lambda **fields: InAConfig(inhibition_level=0.3, init_weights=False, **fields),
    "lora": lambda **fields: LoraConfig(init_lora_weights=False, **fields),
}
MODELS = [*PARTS, *OURS, *(f"{family} {adapter}" for family in PARTS for adapter in ADAPTERS), "bert_gi ina"]


def family_of(name: str) -> str:
    return OURS.get(name.split()[0], name.split()[0])


def make(name: str, implementation: str | None = None):
    """A model by its name in `MODELS`, in float64. Weights are so large that attention is far from uniform."""
    family, _, adapter = name.partition(" ")
    if family in OURS:
        flags = {"ina_rank": 4} if family == "llama_ina" else tiny.BOTH
        config = tiny.config(family, inhibition_level=0.3, **flags)
    else:
        config = STOCK[family]()
    config.initializer_range = 0.3
    options = {} if implementation is None else {"attn_implementation": implementation}
    model = tiny.randomise(AutoModel.from_config(config, **options))
    if adapter:
        targets = list(PARTS[family_of(name)].projections)
        model = get_peft_model(model, ADAPTERS[adapter](r=4, target_modules=targets))
    return model.eval().double()


class Record:
    """What went into and came out of the projections and readers of every layer, in the last forward."""

    def __init__(self, model, family: str):
        self.parts, self.backbone = PARTS[family], base_of(model)
        self.states, self.projected, self.contexts = {}, {}, {}
        self.layers = range(self.backbone.config.num_hidden_layers)
        for layer in self.layers:
            for name in self.parts.projections:
                self.attention(layer).get_submodule(name).register_forward_hook(self.keep(layer, name))
            self.backbone.get_submodule(self.parts.reader.format(layer)).register_forward_pre_hook(self.read(layer))

    def attention(self, layer: int):
        return self.backbone.get_submodule(self.parts.attention.format(layer))

    def keep(self, layer: int, name: str):
        def hook(module, args, output):
            if output.shape[1] == self.length:  # DeBERTa sends its positions through the same projections
                self.states[layer], self.projected[layer, name] = args[0], output

        return hook

    def read(self, layer: int):
        def hook(module, args):
            self.contexts[layer] = args[0]

        return hook

    def run(self, call, inputs: dict):
        self.length = inputs["input_ids"].shape[1]
        with torch.no_grad():
            return call(**inputs)


def split(projected: torch.Tensor, heads: int) -> torch.Tensor:
    return projected.unflatten(-1, (heads, -1)).transpose(1, 2)


def query_key_value(record: Record, layer: int, family: str) -> list[torch.Tensor]:
    """`(batch, heads, T, head_size)` each, gates and branches of the model itself by their formulas."""
    config, attention = record.backbone.config, record.attention(layer)
    states, heads = record.states[layer], config.num_attention_heads
    if family == "gpt2":
        return [split(part, heads) for part in record.projected[layer, "c_attn"].chunk(3, -1)]
    if family == "bloom":
        fused = record.projected[layer, "query_key_value"].unflatten(-1, (heads, 3, -1))
        return [fused[..., part, :].transpose(1, 2) for part in range(3)]
    made = []
    for name, side in zip(record.parts.projections, "qkv", strict=True):
        projected = record.projected[layer, name]
        if hasattr(attention, f"select_{side}"):
            inhibition, select = getattr(attention, f"inhibition_{side}"), getattr(attention, f"select_{side}")
            projected = projected * gate(states, inhibition, select, 0.3, config.inhibition_scope)
        if hasattr(attention, f"{name}_ina"):
            held = getattr(attention, f"{name}_ina")
            scaling = config.ina_alpha / config.ina_rank
            projected = projected + branch(states, held.A.weight, held.B.weight, 0.3, scaling)
        made.append(split(projected, projected.shape[-1] // attention_size(config)))
    return [turned(made[0]), *(share(made[1:], heads, turn=True))] if family == "llama" else made


def attention_size(config) -> int:
    return config.hidden_size // config.num_attention_heads


def turned(vectors: torch.Tensor) -> torch.Tensor:
    """Rotary positions: the pair (i, i + d/2) turned by position · 10000^(−2i/d)."""
    half = vectors.shape[-1] // 2
    angles = torch.arange(vectors.shape[2])[:, None] * 10000.0 ** (-torch.arange(half) / half)
    low, high = vectors[..., :half], vectors[..., half:]
    return torch.cat([low * angles.cos() - high * angles.sin(), high * angles.cos() + low * angles.sin()], -1)


def share(key_value: list[torch.Tensor], heads: int, turn: bool) -> list[torch.Tensor]:
    """Keys and values for each query head."""
    key, value = (each.repeat_interleave(heads // each.shape[1], 1) for each in key_value)
    return [turned(key) if turn else key, value]


def by_hand(record: Record, layer: int, family: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The attention of a layer on one text without padding, and the values."""
    query, key, value = query_key_value(record, layer, family)
    heads, length, size = query.shape[1:]
    scores = query @ key.mT
    if family == "deberta_v2":
        config, attention = record.backbone.config, record.attention(layer)
        table, span = record.backbone.encoder.get_rel_embedding(), config.position_buckets
        offsets = range(-length + 1, length)
        rows = table[[table_row(each, span, span, config.max_position_embeddings) for each in offsets]]
        positions = [split(module(rows[None]), heads)[0] for module in (attention.key_proj, attention.query_proj)]
        scores = (scores + disentangled_bias(query, key, *positions)) / math.sqrt(3 * size)
    else:
        scores = scores / math.sqrt(size)
    if family == "bloom":  # ALiBi
        slopes = 2.0 ** (-8 / heads * torch.arange(1, heads + 1))
        scores = scores + slopes[:, None, None] * torch.arange(length)
    if family in CAUSAL:
        scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    return scores.softmax(-1), value


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_is_the_attention_of_the_model(name):
    """By hand from the model's own projections; and times the values it is what the layer passes on."""
    model, family, inputs = make(name), family_of(name), tiny.inputs(1, 6)
    record = Record(model, family)
    captured = record.run(lambda **given: attention_weights(model, **given), inputs)
    assert len(captured) == len(record.layers)
    for layer, weights in enumerate(captured):
        expected, value = by_hand(record, layer, family)
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-5)
        assert weights.std() > 0.05  # not uniform
        context = (weights @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(context, record.contexts[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in MODELS if family_of(name) != "bloom" and name[:10] != "deberta_v2"])
@torch.no_grad()
def test_is_the_attention_of_the_backend_it_replaces(name):
    """What the layers pass on under sdpa is the captured attention times the values."""
    model, family, inputs = make(name, "sdpa"), family_of(name), tiny.inputs(1, 6)
    assert base_of(model).config._attn_implementation == "sdpa"
    record = Record(model, family)
    captured = record.run(lambda **given: attention_weights(model, **given), inputs)
    record.run(model, inputs)  # under sdpa again
    for layer, weights in enumerate(captured):
        context = (weights @ query_key_value(record, layer, family)[2]).transpose(1, 2).flatten(2)
        torch.testing.assert_close(context, record.contexts[layer], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*PARTS, *OURS, "bert ina"])
@torch.no_grad()
def test_padding_does_not_matter(name):
    model, inputs, padding = make(name), tiny.inputs(1, 6), torch.zeros(1, 3, dtype=torch.long)
    padded = {
        key: torch.cat([value, padding if key == "attention_mask" else padding + 5], 1)
        for key, value in inputs.items()
    }
    for alone, beside in zip(attention_weights(model, **inputs), attention_weights(model, **padded), strict=True):
        torch.testing.assert_close(beside[:, :, :6, :6], alone, rtol=1e-4, atol=1e-5)
        assert beside[:, :, :6, 6:].abs().max() < 1e-6


@pytest.mark.parametrize("name", ["bert ina", "bert lora"])
@torch.no_grad()
def test_adapters_are_live(name):
    """The projections that the attention came from include the branch, threshold and all; the model stays as it was."""
    model, inputs = make(name), tiny.inputs(1, 6)
    record = Record(model, "bert")
    captured = record.run(lambda **given: attention_weights(model, **given), inputs)
    layer = record.attention(0).query
    A, B = (layer.ina_A, layer.ina_B) if "ina" in name else (layer.lora_A, layer.lora_B)
    A, B, states = A["default"].weight, B["default"].weight, record.states[0]
    wanted = layer.base_layer(states) + branch(states, A, B, 0.3 if "ina" in name else 0, layer.scaling["default"])
    torch.testing.assert_close(record.projected[0, "query"], wanted)
    with model.disable_adapter():
        without = attention_weights(model, **inputs)
    assert (captured[0] - without[0]).abs().max() > 0.01
    assert isinstance(model, PeftModel) and not layer.merged


def test_the_backend_is_changed_for_the_capture_alone(caplog):
    model = make("llama", "sdpa").train()
    model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    with caplog.at_level(logging.WARNING):
        weights = attention_weights(model, **tiny.inputs())
    assert [record.message for record in caplog.records] == [
        "sdpa attention returns no weights: eager attention for the capture."
    ]
    assert model.config._attn_implementation == "sdpa" and not weights[0].requires_grad
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ValueError, match="input_ids"):
        attention_weights(model, attention_mask=None)
    assert model.config._attn_implementation == "sdpa" and [module.training for module in model.modules()] == modes
    caplog.clear()
    with returning_weights(model), caplog.at_level(logging.WARNING):
        assert len(caplog.records) == 1
        attention_weights(model, **tiny.inputs())
        assert len(caplog.records) == 1  # said once for many texts


def test_dropout_is_off():
    model = make("bert").train()
    model.config.attention_probs_dropout_prob = 0.5
    for weights in attention_weights(model, **tiny.inputs()):
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_what_has_no_square_of_tokens_is_refused():
    model = AutoModelForCausalLM.from_config(STOCK["gpt2"]())
    prefixed = get_peft_model(model, PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"))
    with pytest.raises(ValueError, match=r"\(2, 4, 7, 9\) is not of tokens to tokens"):
        attention_weights(prefixed, **tiny.inputs())
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 99}
    inputs = {"input_ids": tiny.inputs()["input_ids"], "decoder_input_ids": tiny.inputs()["input_ids"]}
    with pytest.raises(ValueError, match="T5Model returns no attention"):
        attention_weights(T5Model(T5Config(**sizes)), **inputs)

"""InA and PEFT's LoRA: at p = 0 the same to the last bit, merging included; above it, merging is refused on every way."""

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, convert_to_lora, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn
from transformers import BertForSequenceClassification, GPT2Config, GPT2LMHeadModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3TextScaledWordEmbedding

from ginets import InAConfig
from ginets.tuners import NotMergeableError
from tests.tiny import inputs, stock_config


def bert():
    return BertForSequenceClassification(stock_config("bert_gi"))


def gpt2():
    shape = {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    # merging into an embedding that is also the head would change the head, with PEFT's LoRA as well
    return GPT2LMHeadModel(GPT2Config(**shape, tie_word_embeddings=False))


MODELS = {
    "Linear": (bert, {"target_modules": ["query", "dense"], "task_type": "SEQ_CLS"}),
    "Embedding": (bert, {"target_modules": ["word_embeddings", "value"], "modules_to_save": ["classifier"]}),
    "Conv1D": (gpt2, {"target_modules": ["c_attn", "c_fc", "wte"]}),
}


def pair(kind: str, dropout: float = 0.0, fresh: bool = True, **fields):
    """PEFT's LoRA and InA at p = 0 on the same base, from the same seed."""
    make, settings = MODELS[kind]
    base, models = make(), []
    settings = settings | fields
    for config in (
        LoraConfig(r=4, lora_alpha=6, lora_dropout=dropout, init_lora_weights=fresh, **settings),
        InAConfig(r=4, ina_alpha=6, ina_dropout=dropout, init_weights=fresh, inhibition_level=0, **settings),
    ):
        if kind == "Conv1D" and isinstance(config, LoraConfig):
            config.fan_in_fan_out = True
        torch.manual_seed(7)
        models.append(get_peft_model(deepcopy(base), config))
    return models


def renamed(state: dict) -> dict:
    return {name.replace("lora_embedding_", "ina_").replace("lora_", "ina_"): value for name, value in state.items()}


def check_equal_states(lora, ina):
    theirs, ours = renamed(lora.state_dict()), ina.state_dict()
    assert theirs.keys() == ours.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_same_weights_at_the_start(kind, fresh):
    lora, ina = pair(kind, fresh=fresh)
    check_equal_states(lora, ina)
    moved = [name for name, tensor in ina.state_dict().items() if ".ina_B" in name and tensor.abs().sum() > 0]
    assert moved if not fresh else all("embed" in name or "wte" in name for name in moved)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "fields", [{}, {"use_rslora": True}, {"rank_pattern": {".*(query|value|c_attn)": 2}}], ids=str
)
@pytest.mark.parametrize("kind", MODELS)
def test_same_training(kind, fields, dropout):
    """Logits and every parameter after each of four AdamW steps, with the same dropout draws."""
    models = pair(kind, dropout, **fields)
    optimizers = [torch.optim.AdamW((p for p in m.parameters() if p.requires_grad), lr=1e-2) for m in models]
    for step in range(4):
        results = []
        for model, optimizer in zip(models, optimizers, strict=True):
            model.train()
            torch.manual_seed(step)
            logits = model(**inputs(seed=step)).logits
            optimizer.zero_grad()
            logits.square().mean().backward()
            optimizer.step()
            results.append(logits)
        assert torch.equal(*results)
        check_equal_states(*models)
    with torch.no_grad():
        outputs = [model.eval()(**inputs()).logits for model in models]
        assert torch.equal(*outputs)
        with models[1].disable_adapter():
            assert not torch.allclose(models[1](**inputs()).logits, outputs[1], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_same_in_half_precision(dtype):
    outputs = []
    for model in pair("Linear", fresh=False):
        outputs.append(model.to(dtype).eval()(**inputs()).logits)
    assert torch.equal(*outputs)


def test_same_in_scaled_embeddings():
    base, outputs = Gemma3TextScaledWordEmbedding(9, 5, 0, embed_scale=3.0), []
    for config in (
        LoraConfig(target_modules=["0"], init_lora_weights=False),
        InAConfig(target_modules=["0"], init_weights=False, inhibition_level=0, ina_alpha=8),
    ):
        torch.manual_seed(7)
        outputs.append(get_peft_model(nn.Sequential(deepcopy(base)), config)(torch.arange(9)))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", MODELS)
def test_merging_at_level_zero(kind, safe):
    """The merged weights are those of PEFT's LoRA; unmerging and unloading give the outputs they should."""
    models = pair(kind, fresh=False)
    base, outputs, merged, restored = [], [], [], []
    for model in models:
        model.eval()
        with model.disable_adapter():
            base.append(model(**inputs()).logits)
        outputs.append(model(**inputs()).logits)
        model.merge_adapter(safe_merge=safe)
        merged.append(model(**inputs()).logits)
        model.unmerge_adapter()
        restored.append(model(**inputs()).logits)
    for results in (base, outputs, merged, restored):
        assert torch.equal(*results)
    torch.testing.assert_close(merged[1], outputs[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(restored[1], outputs[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(merged[1], base[1], atol=1e-3)
    plain = [model.merge_and_unload(safe_merge=safe) for model in models]
    assert type(plain[1]) is type(MODELS[kind][0]()) and not any("ina_" in name for name in plain[1].state_dict())
    for name, tensor in plain[0].state_dict().items():
        assert torch.equal(tensor, plain[1].state_dict()[name]), name


def test_safe_merging_stops_at_nan():
    _, model = pair("Linear", fresh=False)
    layer = model.base_model.model.bert.encoder.layer[0].attention.self.query
    before = layer.get_base_layer().weight.clone()
    with torch.no_grad():
        layer.ina_A.default.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        layer.merge(safe_merge=True)
    assert torch.equal(layer.get_base_layer().weight, before) and not layer.merged


def test_peft_converts_it_to_lora_at_level_zero_only():
    _, model = pair("Linear", fresh=False)
    model.eval()
    assert model.supports_lora_conversion() and model.base_model.supports_lora_conversion("default")
    expected = model(**inputs()).logits
    config, state = convert_to_lora(model, rank=4)
    lora = get_peft_model(model.unload(), config).eval()
    set_peft_model_state_dict(lora, state)
    with torch.no_grad():
        head = lora.base_model.model.classifier.modules_to_save.default
        head.load_state_dict(model.base_model.model.classifier.state_dict(), strict=False)
    torch.testing.assert_close(lora(**inputs()).logits, expected, rtol=1e-4, atol=1e-4)


DOORS = {
    "merge_and_unload": lambda model, layer: model.merge_and_unload(),
    "safe merge_and_unload": lambda model, layer: model.merge_and_unload(safe_merge=True),
    "named merge_and_unload": lambda model, layer: model.merge_and_unload(adapter_names=["plain", "default"]),
    "merge_adapter": lambda model, layer: model.merge_adapter(),
    "named merge_adapter": lambda model, layer: model.merge_adapter(adapter_names=["plain", "default"]),
    "tuner's merge_adapter": lambda model, layer: model.base_model.merge_adapter(["default"], True),
    "layer.merge": lambda model, layer: layer.merge(),
    "layer.get_delta_weight": lambda model, layer: layer.get_delta_weight("default"),
    "add_weighted_adapter": lambda model, layer: model.add_weighted_adapter(["plain", "default"], [0.5, 0.5], "sum"),
}


@pytest.fixture
def inhibited():
    """A model with an adapter at p = 0.3, active, and another at p = 0."""
    model = get_peft_model(bert(), InAConfig(target_modules=["value"], init_weights=False)).eval()
    model.add_adapter("plain", InAConfig(target_modules=["query", "value"], inhibition_level=0, init_weights=False))
    return model


@pytest.mark.parametrize("door", DOORS)
def test_no_way_to_merge_above_zero(door, inhibited):
    """The error names both ways out, and nothing has been touched."""
    before = {name: tensor.clone() for name, tensor in inhibited.state_dict().items()}
    expected = inhibited(**inputs()).logits
    layer = inhibited.base_model.model.bert.encoder.layer[0].attention.self.value
    with pytest.raises(NotMergeableError, match=r"inhibition_level 0\.3.*[Kk]eep it.*ginets\.fold"):
        DOORS[door](inhibited, layer)
    after = inhibited.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(inhibited(**inputs()).logits, expected)


def test_no_conversion_to_lora_above_zero(inhibited):
    tuner = inhibited.base_model
    assert not tuner.supports_lora_conversion() and tuner.supports_lora_conversion("plain")
    assert not inhibited.supports_lora_conversion("default")
    with pytest.raises(TypeError, match=r"InALinear.*do not support LoRA conversion|do not support.*InALinear"):
        convert_to_lora(inhibited, rank=4)


def test_the_plain_adapter_beside_it_can_be_merged(inhibited):
    """Although another one, which cannot, is loaded."""
    inhibited.set_adapter("plain")
    expected = inhibited(**inputs()).logits
    inhibited.merge_adapter()
    torch.testing.assert_close(inhibited(**inputs()).logits, expected, rtol=1e-4, atol=1e-5)
    inhibited.unmerge_adapter()
    with pytest.raises(NotMergeableError, match=r"to_lora"):
        inhibited.add_weighted_adapter(["plain", "plain"], [0.5, 0.5], "sum")
    plain = inhibited.merge_and_unload(adapter_names=["plain"])
    torch.testing.assert_close(plain(**inputs()).logits, expected, rtol=1e-4, atol=1e-5)


def test_no_tensor_is_saved_under_a_name_of_lora(inhibited):
    names = get_peft_model_state_dict(inhibited)
    assert names and all(".ina_A." in name or ".ina_B." in name for name in names)

"""Tiny models of every family: configs, heads, inputs, random gates."""

import inspect

import torch
from transformers import PreTrainedModel

from ginets.models import FAMILIES
from ginets.models.flags import InhibitionFlags


BOTH = {"gi_query_side": True, "gi_key_side": True}
SIZES = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}
EXTRA = {
    "bert_gi": {},
    "roberta_gi": {"pad_token_id": 1},
    "deberta_v2_gi": {
        "relative_attention": True,
        "position_buckets": 4,
        "pos_att_type": ["p2c", "c2p"],
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
    },
    "llama_ina": {"num_key_value_heads": 2, "pad_token_id": 0},
}
BY_TYPE = {family.config.model_type: family for family in FAMILIES}
HEADS = [
    (model_type, name)
    for model_type, family in BY_TYPE.items()
    for name, value in family.classes.items()
    if issubclass(value, PreTrainedModel)
]


def config(model_type: str, **flags) -> InhibitionFlags:
    return BY_TYPE[model_type].config(**SIZES | EXTRA[model_type] | flags)


def stock_config(model_type: str, **overrides):
    return BY_TYPE[model_type].stock_config(**SIZES | EXTRA[model_type] | overrides)


def backbone_class(model_type: str) -> type[PreTrainedModel]:
    return BY_TYPE[model_type].ours(stock_backbone_class(model_type).__name__)


def stock_backbone_class(model_type: str) -> type[PreTrainedModel]:
    family = BY_TYPE[model_type]
    return next(
        base for base in getattr(family.modeling, f"{family.prefix}Model").__bases__ if "Model" in base.__name__
    )


def randomise(model: PreTrainedModel, scale: float = 0.5) -> PreTrainedModel:
    """Gives every tensor of the mechanism, and the projections it acts on, random values of a real size."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("inhibition_", "select_", "_ina.", "query", "key", "q_proj", "k_proj")):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model


def inputs(batch: int = 2, length: int = 7, seed: int = 0) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, SIZES["vocab_size"], (batch, length), generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def head_inputs(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Inputs with whatever labels the head takes."""
    batch, length = 2, 7
    given = inputs(batch, length)
    name, takes = type(model).__name__, inspect.signature(model.forward).parameters
    if name.endswith("MultipleChoice"):
        given = {key: value[:, None].expand(-1, 3, -1).contiguous() for key, value in given.items()}
        return given | {"labels": torch.zeros(batch, dtype=torch.long)}
    if name.endswith(("SequenceClassification", "NextSentencePrediction")):
        return given | {"labels": torch.tensor([0, 1])}
    if "start_positions" in takes:
        return given | {"start_positions": torch.tensor([1, 2]), "end_positions": torch.tensor([3, 4])}
    if name.endswith("ForPreTraining"):
        return given | {"labels": given["input_ids"], "next_sentence_label": torch.tensor([0, 1])}
    if "labels" in takes:
        labels = given["input_ids"] % 2 if name.endswith("TokenClassification") else given["input_ids"]
        return given | {"labels": labels}
    return given

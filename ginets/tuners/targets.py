"""Which modules are adapted if the config names none: by method and model type. Sources: the published runs, where
there are any; otherwise those of PEFT's LoRA, for every model type it knows."""

from typing import Any

from peft.utils import constants

from ..models.auto import FAMILIES


LORA = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
BERT = ["query", "key", "value"]
DEBERTA = ["query_proj", "key_proj", "value_proj"]

ATTENTION = LORA | {"bert": BERT, "roberta": BERT, "deberta-v2": DEBERTA}
WITH_FEED_FORWARD = LORA | {
    "bert": [*BERT, "intermediate.dense", "output.dense"],
    "roberta": [*BERT, "intermediate.dense", "output.dense"],
    "deberta-v2": [*DEBERTA, "intermediate.dense", "output.dense"],
    "gpt2": ["c_attn", "c_fc"],
    "llama": ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"],
}

# our model type → the stock type whose modules have the same names
GATED = {family.config.model_type: family.stock_config.model_type for family in FAMILIES}


def with_gated(targets: dict[str, Any]) -> dict[str, Any]:
    """`targets`, and the same for our model types."""
    return targets | {ours: targets[stock] for ours, stock in GATED.items() if stock in targets}


# model type → what it calls the projections that BERT and RoBERTa call query, key and value
SPELLINGS = with_gated({"deberta-v2": dict(zip(BERT, DEBERTA, strict=True))})


def spelt_for(model_type: str, targets):
    """`targets` for a model of this type, so that the same names serve all encoders; a pattern stays as it is."""
    if targets is None or isinstance(targets, str):
        return targets
    names = SPELLINGS.get(model_type, {})
    return type(targets)(names.get(name, name) for name in targets)


def add_gated_types() -> None:
    """Tell PEFT's own methods (LoRA, AdaLoRA, VeRA, ...) where to attach in our models."""
    for name, mapping in vars(constants).items():
        if name.startswith("TRANSFORMERS_MODELS_TO_") and name.endswith("_MODULES_MAPPING"):
            mapping.update(with_gated(mapping))

"""Which modules are adapted if the config names none: by method and model type. Sources: the published runs, where
there are any; otherwise those of PEFT's LoRA, for every model type it knows."""

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


def with_gated(targets: dict[str, list[str]]) -> dict[str, list[str]]:
    """`targets`, and the same for our model types."""
    return targets | {ours: targets[stock] for ours, stock in GATED.items() if stock in targets}


def add_gated_types() -> None:
    """Tell PEFT's own methods (LoRA, AdaLoRA, VeRA, ...) where to attach in our models."""
    for name, mapping in vars(constants).items():
        if name.startswith("TRANSFORMERS_MODELS_TO_") and name.endswith("_MODULES_MAPPING"):
            mapping.update(with_gated(mapping))

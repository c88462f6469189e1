"""Model families: gated inhibition (GI) on BERT, RoBERTa and DeBERTa-v2/v3, inhibited branches (InA) on Llama."""

from .auto import FAMILIES, register
from .flags import FlagError
from .zoo import list_models, model_path


for _family in FAMILIES:
    register(_family)
    globals().update(_family.classes)

__all__ = ["FlagError", "list_models", "model_path", *(name for family in FAMILIES for name in family.classes)]

"""Model families: gated inhibition (GI) on BERT, RoBERTa and DeBERTa-v2/v3, inhibited branches (InA) on Llama."""

from .auto import FAMILIES, register
from .bert_gi import *
from .deberta_v2_gi import *
from .flags import FlagError
from .freeze import freeze_base
from .llama_ina import *
from .roberta_gi import *
from .zoo import list_models, model_path


for _family in FAMILIES:
    register(_family)

__all__ = [
    "FlagError",
    "freeze_base",
    "list_models",
    "model_path",
    *(name for family in FAMILIES for name in family.classes),
]

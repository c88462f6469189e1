# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""BERT with gated inhibition: configuration."""

from huggingface_hub.dataclasses import strict
from transformers import BertConfig

from ..flags import GateFlags


# trf-ignore: TRF057 — `auto_docstring` reports errors for classes outside transformers
@strict
class BertGIConfig(GateFlags, BertConfig):
    """`BertConfig` plus the gate flags of [`GateFlags`]. Without flags it is the stock model."""

    model_type = "bert_gi"


__all__ = ["BertGIConfig"]

# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""RoBERTa with gated inhibition: configuration."""

from huggingface_hub.dataclasses import strict
from transformers import RobertaConfig

from ..flags import GateFlags


# trf-ignore: TRF057 — `auto_docstring` reports errors for classes outside transformers
@strict
class RobertaGIConfig(GateFlags, RobertaConfig):
    """`RobertaConfig` plus the gate flags of [`GateFlags`]. Without flags it is the stock model."""

    model_type = "roberta_gi"


__all__ = ["RobertaGIConfig"]

# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""DeBERTa-v2 and v3 with gated inhibition: configuration."""

from huggingface_hub.dataclasses import strict
from transformers import DebertaV2Config

from ..flags import GateFlags


# trf-ignore: TRF057 — `auto_docstring` reports errors for classes outside transformers
@strict
class DebertaV2GIConfig(GateFlags, DebertaV2Config):
    """`DebertaV2Config` plus the gate flags of [`GateFlags`]. Without flags it is the stock model."""

    model_type = "deberta_v2_gi"


__all__ = ["DebertaV2GIConfig"]

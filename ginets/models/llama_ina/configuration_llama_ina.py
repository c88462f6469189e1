# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""Llama with inhibited low-rank branches: configuration."""

from huggingface_hub.dataclasses import strict
from transformers import LlamaConfig

from ..flags import InAFlags


# trf-ignore: TRF057 — `auto_docstring` reports errors for classes outside transformers
@strict
class LlamaInAConfig(InAFlags, LlamaConfig):
    """`LlamaConfig` plus the flags of [`InAFlags`]. Without flags it is the stock model."""

    model_type = "llama_ina"


__all__ = ["LlamaInAConfig"]

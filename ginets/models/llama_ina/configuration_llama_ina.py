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
    # A branch follows its projection: B is cut where the outputs are, A where the inputs are. A's partial ranks are
    # summed before the maximum is taken.
    base_model_tp_plan = LlamaConfig.base_model_tp_plan | {
        f"{projection}_ina.{'B' if style == 'colwise' else 'A'}": style
        for projection, style in LlamaConfig.base_model_tp_plan.items()
    }


__all__ = ["LlamaInAConfig"]

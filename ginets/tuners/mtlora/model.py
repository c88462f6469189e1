"""MTLoRA: the tuner."""

import warnings

from peft.utils.other import get_pattern_key

from ..lowrank.model import LowRankModel
from ..targets import WITH_FEED_FORWARD, with_gated
from .layer import MTLoraEmbedding, MTLoraLayer, MTLoraLinear


# the published runs: the attention output too in DeBERTa (which "output.dense" covers), every linear layer in Llama
LLAMA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# modules of a model type that hold several projections one after another, and which of them are adapted
FUSED = {"gpt2": {"c_attn": [True, True, True], "crossattention.c_attn": [True, True]}}


class MTLoraModel(LowRankModel):
    """A model with low-rank branches that have a matrix T between A and B."""

    prefix = "mtlr_"
    tuner_layer_cls = MTLoraLayer
    linear_cls = MTLoraLinear
    embedding_cls = MTLoraEmbedding
    target_module_mapping = with_gated(WITH_FEED_FORWARD | {"llama": LLAMA})

    def _prepare_adapter_config(self, peft_config, model_config):
        peft_config = super()._prepare_adapter_config(peft_config, model_config)
        if peft_config.fused_modules is None:
            peft_config.fused_modules = dict(FUSED.get(model_config.get("model_type"), {}))
        if peft_config.structure == "DTSM" and not peft_config.inference_mode:
            warnings.warn(
                "MTLoRA's structure DTSM trains T = C + D, whose two parts always have the same gradient: it is SHIM "
                "with twice the step on T and r² more parameters per module.",
                stacklevel=2,
            )
        return peft_config

    def sizes(self, config, name: str) -> dict:
        # the longest name that fits: a saved config lists them in alphabetical order
        names = sorted(config.fused_modules, key=len, reverse=True)
        slices = config.fused_modules.get(get_pattern_key(names, name))
        return super().sizes(config, name) | ({"slices": slices} if slices else {})

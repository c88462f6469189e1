# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""Llama with inhibited low-rank branches: where they attach. Mechanism: `..inhibited`."""

import torch
from torch import nn
from transformers import AutoModel
from transformers.cache_utils import Cache
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaForCausalLM,
    LlamaForQuestionAnswering,
    LlamaForSequenceClassification,
    LlamaForTokenClassification,
    LlamaMLP,
    LlamaModel,
    apply_rotary_pos_emb,
    eager_attention_forward,
)

from ..attention import attend, split_heads
from ..inhibited import InhibitedProjections
from ..pretrained import InhibitedPreTrainedMixin
from .configuration_llama_ina import LlamaInAConfig


class LlamaInAAttention(InhibitedProjections, LlamaAttention):
    """Attention with branches beside `q_proj`, `k_proj`, `v_proj`, `o_proj`, whichever the config names."""

    def __init__(self, config: LlamaInAConfig, layer_idx: int):
        super().__init__(config, layer_idx)
        self.add_branches(config)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        query, key, value = (
            split_heads(self.project(name, hidden_states), self.head_dim) for name in ("q_proj", "k_proj", "v_proj")
        )
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)
        context, weights = attend(
            self, eager_attention_forward, query, key, value, attention_mask, self.attention_dropout, **kwargs
        )
        return self.project("o_proj", context), weights


class LlamaInAMLP(InhibitedProjections, LlamaMLP):
    """Feed-forward block with branches beside `gate_proj`, `up_proj`, `down_proj`, whichever the config names."""

    def __init__(self, config: LlamaInAConfig):
        super().__init__(config)
        self.add_branches(config)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        gate = self.act_fn(self.project("gate_proj", hidden_states))
        return self.project("down_proj", gate * self.project("up_proj", hidden_states))


class LlamaInAMixin(InhibitedPreTrainedMixin):
    """Placed before a stock Llama class: our config, our backbone."""

    config: LlamaInAConfig
    config_class = LlamaInAConfig

    def __init__(self, config: LlamaInAConfig, *args, **kwargs):
        # The stock heads for classification and answers build their backbone through `AutoModel`, and where this file is
        # a repository's own code nobody has registered it. By name, because config and model may come from two copies.
        if type(config).__name__ == LlamaInAConfig.__name__:
            AutoModel.register(type(config), LlamaInAModel, exist_ok=True)
        super().__init__(config, *args, **kwargs)

    def build_backbone(self, config, stock):
        return LlamaInAModel(config)


class LlamaInAModel(LlamaInAMixin, LlamaModel):
    """`LlamaModel` with branches in its last `gi_layer_num` layers."""

    def adapt(self, config):
        names = config.inhibited_projections
        self.warn_if_nothing_is_on(names)
        for index in config.inhibited_layers:
            layer = self.layers[index]
            if has_any(layer.self_attn, names):
                layer.self_attn = LlamaInAAttention(config, index)
            if has_any(layer.mlp, names):
                layer.mlp = LlamaInAMLP(config)


def has_any(module: nn.Module, names: tuple[str, ...]) -> bool:
    return any(hasattr(module, name) for name in names)


class LlamaInAForCausalLM(LlamaInAMixin, LlamaForCausalLM):
    """`LlamaForCausalLM` on a backbone with branches."""


class LlamaInAForSequenceClassification(LlamaInAMixin, LlamaForSequenceClassification):
    """`LlamaForSequenceClassification` on a backbone with branches."""


class LlamaInAForQuestionAnswering(LlamaInAMixin, LlamaForQuestionAnswering):
    """`LlamaForQuestionAnswering` on a backbone with branches."""


class LlamaInAForTokenClassification(LlamaInAMixin, LlamaForTokenClassification):
    """`LlamaForTokenClassification` on a backbone with branches."""


__all__ = [
    "LlamaInAForCausalLM",
    "LlamaInAForQuestionAnswering",
    "LlamaInAForSequenceClassification",
    "LlamaInAForTokenClassification",
    "LlamaInAModel",
]

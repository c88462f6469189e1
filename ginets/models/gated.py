"""Gated inhibition (GI) as model parts: what every family shares.

A family states where the mechanism attaches and nothing else: which attention class it extends, which layers of its
backbone get it. The stock classes are inherited, so tensors, heads and forward signatures are theirs.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers.models.bert.modeling_bert import eager_attention_forward

from ..ops.gate import gate_projection
from .attention import attend, split_heads
from .flags import GateFlags
from .pretrained import InhibitedPreTrainedMixin, NormalLinear, ZeroLinear


class GatedAttention(nn.Module):
    """Mixin for a stock attention class: gates on its query and key projections.

    The projections stay the plain `nn.Linear` modules they are (so that adapters on them merge exactly); the gate is
    a pair of modules beside them, named as in the original code: `inhibition_q`, `select_q`, `inhibition_k`,
    `select_k`. Use it before the stock class: `class BertGISelfAttention(GatedAttention, BertSelfAttention)`.
    """

    def __init__(self, config: GateFlags, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        self.add_gates(config)

    def add_gates(self, config: GateFlags):
        """Adds the gates of the sides that `config` switches on. Shapes: hidden → rank → all heads."""
        rank = self.all_head_size if config.gi_rank is None else config.gi_rank
        for side in config.inhibited_sides:
            self.add_module(f"inhibition_{side}", NormalLinear(config.hidden_size, rank))
            self.add_module(f"select_{side}", ZeroLinear(rank, self.all_head_size))

    def gated(self, projection: torch.Tensor, side: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """`projection` times the gate of `side` ("q" or "k"), or `projection` itself where that side has none.

        Args:
            projection: `(..., all_head_size)`, before the heads are split.
            hidden_states: `(..., hidden_size)`, what was projected.
        """
        inhibition = self._modules.get(f"inhibition_{side}")
        if inhibition is None:
            return projection
        scores = self._modules[f"select_{side}"](F.gelu(inhibition(hidden_states)))
        config = self.config
        return gate_projection(projection, scores, config.inhibition_level, config.inhibition_scope)


class GatedBertAttention(GatedAttention):
    """The attention of BERT-like models (projections `query`, `key`, `value`) with gates, for self- and cross-attention."""

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values=None,
        encoder_hidden_states: torch.Tensor | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Same contract as the stock self-attention; as cross-attention when `encoder_hidden_states` are given."""
        query = self.gated(self.query(hidden_states), "q", hidden_states)
        query = split_heads(query, self.attention_head_size)
        if encoder_hidden_states is None:
            key, value = self.project_key_value(hidden_states)
            if past_key_values is not None:
                cache = getattr(past_key_values, "self_attention_cache", past_key_values)
                key, value = cache.update(key, value, self.layer_idx)
        elif past_key_values is not None and past_key_values.is_updated.get(self.layer_idx):
            cached = past_key_values.cross_attention_cache.layers[self.layer_idx]
            key, value = cached.keys, cached.values
        else:
            key, value = self.project_key_value(encoder_hidden_states)
            if past_key_values is not None:
                key, value = past_key_values.cross_attention_cache.update(key, value, self.layer_idx)
                past_key_values.is_updated[self.layer_idx] = True

        return attend(self, eager_attention_forward, query, key, value, attention_mask, self.dropout.p, **kwargs)

    def project_key_value(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        key, value = self.gated(self.key(states), "k", states), self.value(states)
        return split_heads(key, self.attention_head_size), split_heads(value, self.attention_head_size)


class GatedPreTrainedMixin(InhibitedPreTrainedMixin):
    """`InhibitedPreTrainedMixin` for BERT-like backbones."""

    def gate_layers(self, self_attention: type[nn.Module], cross_attention: type[nn.Module]):
        """Puts gated attention into the layers of a BERT-like backbone (`self.encoder.layer`) that the config names."""
        config = self.config
        self.warn_if_nothing_is_on(config.inhibited_sides)
        for index in config.inhibited_layers if config.inhibited_sides else ():
            layer = self.encoder.layer[index]
            layer.attention.self = self_attention(config, is_causal=config.is_decoder, layer_idx=index)
            if config.add_cross_attention:
                layer.crossattention.self = cross_attention(config, layer_idx=index)

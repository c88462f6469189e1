# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""DeBERTa-v2 and v3 with gated inhibition: attention, encoder, heads. Mechanism: `..gated`.

Unlike in the other families every layer has our attention, gated or not: it computes what the stock one computes, by
offset (`...ops.disentangled_bias`), and hands the relative terms to the attention interface as a position bias.
"""

import math

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DebertaV2ForMaskedLM,
    DebertaV2ForMultipleChoice,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
    DebertaV2Model,
    DisentangledSelfAttention,
)

from ...ops.disentangled_bias import disentangled_bias, offset_index
from ...ops.dispatch import compute_dtype
from ..attention import attend, split_heads
from ..gated import GatedAttention
from ..pretrained import InhibitedPreTrainedMixin
from .configuration_deberta_v2_gi import DebertaV2GIConfig


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    position_bias: torch.Tensor | None = None,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention in plain operations; contract of the attention interface, `position_bias` is added to the scores."""
    # Scaled first: unscaled products can leave the range of float16.
    scores = (query * scaling) @ key.transpose(2, 3)
    for term in (attention_mask, position_bias):
        if term is not None:
            scores += term
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


class OffsetSelfAttention(DisentangledSelfAttention):
    """Disentangled self-attention by offset, through the attention interface. Parameters are those of the stock class."""

    is_causal = False

    def __init__(self, config):
        super().__init__(config)
        self.config = config
        self.pos_terms = tuple(term for term in ("c2p", "p2c") if term in self.pos_att_type)
        self.scaling = 1 / math.sqrt(self.attention_head_size * (1 + len(self.pos_terms)))

    def gated(self, projection: torch.Tensor, side: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """No gate; [`GatedAttention`] brings one."""
        return projection

    # trf-ignore: TRF045 — the inherited model passes the output flags down
    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        output_attentions: bool = False,
        query_states: torch.Tensor | None = None,
        relative_pos: torch.Tensor | None = None,
        rel_embeddings: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """As the stock forward, but for two arguments that do not depend on the layer and come ready-made.

        Args:
            attention_mask: additive, broadcastable to `(batch, heads, query_length, key_length)`.
            relative_pos: 1-D, row of `rel_embeddings` for each offset, see [`offset_index`].
        """
        if query_states is None:
            query_states = hidden_states
        query, key, value = (
            split_heads(projected, self.attention_head_size)
            for projected in (
                self.gated(self.query_proj(query_states), "q", query_states),
                self.gated(self.key_proj(hidden_states), "k", hidden_states),
                self.value_proj(hidden_states),
            )
        )

        position_bias = None
        # CODEPATH: relative attention is on in all published checkpoints, off by default in the config.
        if self.relative_attention:
            pos_key, pos_query = self.project_positions(rel_embeddings, relative_pos)
            if self.pos_terms:
                position_bias = disentangled_bias(query, key, pos_key, pos_query, attention_mask)
                attention_mask = None

        # Only the eager function returns weights; a caller who asks for them gets it, whatever is configured.
        context, weights = attend(
            self,
            eager_attention_forward,
            query,
            key,
            value,
            attention_mask,
            self.dropout.p,
            eager_only=output_attentions,
            position_bias=position_bias,
        )
        return context, weights if output_attentions else None

    def project_positions(
        self, rel_embeddings: torch.Tensor, relative_pos: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Scaled position keys and queries `(heads, offsets, head_size)`, None for terms that are off."""
        table = self.pos_dropout(rel_embeddings)
        # Project offsets or the whole table, whichever is shorter; a traced graph must not depend on the length.
        by_offset = not torch.compiler.is_compiling() and relative_pos.shape[0] < table.shape[0]
        if by_offset:
            table = table.index_select(0, relative_pos)
        positions = []
        for term, shared, own in (("c2p", "key_proj", "pos_key_proj"), ("p2c", "query_proj", "pos_query_proj")):
            if term not in self.pos_terms:
                positions.append(None)
                continue
            # CODEPATH: v3 and the later v2 checkpoints share the projections, older ones have their own.
            # a batch of one table: what gives each row of a batch its own adapter must not take offsets for rows
            projected = getattr(self, shared if self.share_att_key else own)(table[None])[0] * self.scaling
            if not by_offset:
                projected = projected.index_select(0, relative_pos)
            positions.append(projected.unflatten(-1, (self.num_attention_heads, -1)).transpose(0, 1))
        return tuple(positions)


class DisentangledGISelfAttention(GatedAttention, OffsetSelfAttention):
    """[`OffsetSelfAttention`] with gates on the content query and key; the position projections have none."""


class DebertaV2GIEncoder(DebertaV2Encoder):
    """`DebertaV2Encoder` with our attention in every layer; table of offsets and mask are built once a call."""

    def __init__(self, config: DebertaV2GIConfig):
        super().__init__(config)
        for index, layer in enumerate(self.layer):
            is_gated = config.inhibited_sides and index in config.inhibited_layers
            layer.attention.self = (DisentangledGISelfAttention if is_gated else OffsetSelfAttention)(config)

    def get_attention_mask(self, attention_mask: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
        """Additive mask `(batch, 1, query_length, key_length)` from a 2-D, 3-D or 4-D mask of ones and zeros."""
        attention_mask = attention_mask.bool()
        if attention_mask.dim() == 2:  # padded queries see nothing either, as in the stock model
            attention_mask = attention_mask[:, None, None] & attention_mask[:, None, :, None]
        elif attention_mask.dim() == 3:
            attention_mask = attention_mask[:, None]
        dtype = compute_dtype(hidden_states)
        # The eager softmax is taken in float32, where the lowest float64 would be minus infinity.
        lowest = max(torch.finfo(dtype).min, torch.finfo(torch.float32).min) / 2
        masked = torch.full((), lowest, dtype=dtype, device=hidden_states.device)
        return torch.where(attention_mask, torch.zeros_like(masked), masked)

    def get_rel_pos(self, hidden_states, query_states=None, relative_pos=None) -> torch.Tensor | None:
        """Row of the relative embeddings for each offset, see [`offset_index`]; None without relative attention."""
        if relative_pos is not None and relative_pos.dim() != 1:
            shape = tuple(relative_pos.shape)
            raise ValueError(f"relative_pos has shape {shape}; a 1-D table with one row for each offset is wanted")
        # CODEPATH: as in the attention.
        if not self.relative_attention or relative_pos is not None:
            return relative_pos
        return offset_index(
            (hidden_states if query_states is None else query_states).shape[1],
            hidden_states.shape[1],
            # CODEPATH: buckets are part of all published v2 and v3 checkpoints, off by default in the config.
            span=self.position_buckets if self.position_buckets > 0 else self.max_relative_positions,
            buckets=self.position_buckets,
            max_position=self.max_relative_positions,
            device=hidden_states.device,
        )

    # trf-ignore: TRF045 — the inherited model passes the output flags down
    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        output_hidden_states: bool = True,
        output_attentions: bool = False,
        query_states: torch.Tensor | None = None,
        relative_pos: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> tuple | BaseModelOutput:
        """As the stock forward; `relative_pos`, if given, is a table of offsets."""
        # A token takes part where any token may look at it.
        token_mask = attention_mask if attention_mask.dim() == 2 else attention_mask.any(-2).to(attention_mask.dtype)
        mask = self.get_attention_mask(attention_mask, hidden_states)
        relative_pos = self.get_rel_pos(hidden_states, query_states, relative_pos)
        rel_embeddings = self.get_rel_embedding()

        states, attentions = [hidden_states], []
        for index, layer in enumerate(self.layer):
            # Positional, so that gradients reach all of them under reentrant checkpointing, too.
            output, weights = layer(
                hidden_states if query_states is not None else states[-1],
                mask,
                query_states,
                relative_pos,
                rel_embeddings,
                output_attentions,
            )
            # CODEPATH: a convolution beside the first layer is part of deberta-v2-xlarge and -xxlarge.
            if index == 0 and self.conv is not None:
                output = self.conv(hidden_states, output, token_mask)
            if query_states is not None:
                query_states = output
            states.append(output)
            attentions.append(weights)

        result = BaseModelOutput(
            last_hidden_state=states[-1],
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )
        return result if return_dict else result.to_tuple()


class DebertaV2GIMixin(InhibitedPreTrainedMixin):
    """Placed before a stock DebertaV2 class: our config, our backbone."""

    config: DebertaV2GIConfig
    config_class = DebertaV2GIConfig
    _supports_sdpa = True
    _supports_flex_attn = True
    # `_supports_attention_backend` stays False: a backend that does not know `position_bias` would be wrong in silence

    def __init__(self, config: DebertaV2GIConfig, *args, **kwargs):
        # The stock parts that ours replace know eager attention only and refuse a config that names another.
        requested, config._attn_implementation = config._attn_implementation, "eager"
        try:
            super().__init__(config, *args, **kwargs)
        finally:
            config._attn_implementation = requested
        config._attn_implementation = self._check_and_adjust_attn_implementation(requested, is_init_check=True)

    def build_backbone(self, config, stock):
        return DebertaV2GIModel(config)


class DebertaV2GIModel(DebertaV2GIMixin, DebertaV2Model):
    """`DebertaV2Model` with our attention in every layer and gates in the last `gi_layer_num` of them."""

    def adapt(self, config):
        self.warn_if_nothing_is_on(config.inhibited_sides)
        self.encoder = DebertaV2GIEncoder(config)


class DebertaV2GIForMaskedLM(DebertaV2GIMixin, DebertaV2ForMaskedLM):
    """`DebertaV2ForMaskedLM` on a gated backbone."""


class DebertaV2GIForSequenceClassification(DebertaV2GIMixin, DebertaV2ForSequenceClassification):
    """`DebertaV2ForSequenceClassification` on a gated backbone."""


class DebertaV2GIForTokenClassification(DebertaV2GIMixin, DebertaV2ForTokenClassification):
    """`DebertaV2ForTokenClassification` on a gated backbone."""


class DebertaV2GIForQuestionAnswering(DebertaV2GIMixin, DebertaV2ForQuestionAnswering):
    """`DebertaV2ForQuestionAnswering` on a gated backbone."""


class DebertaV2GIForMultipleChoice(DebertaV2GIMixin, DebertaV2ForMultipleChoice):
    """`DebertaV2ForMultipleChoice` on a gated backbone."""


__all__ = [
    "DebertaV2GIForMaskedLM",
    "DebertaV2GIForMultipleChoice",
    "DebertaV2GIForQuestionAnswering",
    "DebertaV2GIForSequenceClassification",
    "DebertaV2GIForTokenClassification",
    "DebertaV2GIModel",
]

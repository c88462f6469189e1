# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""RoBERTa with gated inhibition: where the gates attach. Mechanism: `..gated`."""

from transformers.models.roberta.modeling_roberta import (
    RobertaCrossAttention,
    RobertaForCausalLM,
    RobertaForMaskedLM,
    RobertaForMultipleChoice,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
    RobertaModel,
    RobertaSelfAttention,
)

from ..gated import GatedBertAttention, GatedPreTrainedMixin
from .configuration_roberta_gi import RobertaGIConfig


class RobertaGISelfAttention(GatedBertAttention, RobertaSelfAttention):
    """Self-attention with gates on query and key."""


class RobertaGICrossAttention(GatedBertAttention, RobertaCrossAttention):
    """Cross-attention with gates: the query gate reads the decoder's states, the key gate the encoder's."""


class RobertaGIMixin(GatedPreTrainedMixin):
    """Placed before a stock Roberta class: our config, our backbone."""

    config: RobertaGIConfig
    config_class = RobertaGIConfig

    def build_backbone(self, config, stock):
        return RobertaGIModel(config, add_pooling_layer=stock.pooler is not None)


class RobertaGIModel(RobertaGIMixin, RobertaModel):
    """`RobertaModel` with gates in its last `gi_layer_num` layers."""

    def adapt(self, config):
        self.gate_layers(RobertaGISelfAttention, RobertaGICrossAttention)


class RobertaGIForCausalLM(RobertaGIMixin, RobertaForCausalLM):
    """`RobertaForCausalLM` on a gated backbone."""


class RobertaGIForMaskedLM(RobertaGIMixin, RobertaForMaskedLM):
    """`RobertaForMaskedLM` on a gated backbone."""


class RobertaGIForSequenceClassification(RobertaGIMixin, RobertaForSequenceClassification):
    """`RobertaForSequenceClassification` on a gated backbone."""


class RobertaGIForMultipleChoice(RobertaGIMixin, RobertaForMultipleChoice):
    """`RobertaForMultipleChoice` on a gated backbone."""


class RobertaGIForTokenClassification(RobertaGIMixin, RobertaForTokenClassification):
    """`RobertaForTokenClassification` on a gated backbone."""


class RobertaGIForQuestionAnswering(RobertaGIMixin, RobertaForQuestionAnswering):
    """`RobertaForQuestionAnswering` on a gated backbone."""


__all__ = [
    "RobertaGIForCausalLM",
    "RobertaGIForMaskedLM",
    "RobertaGIForMultipleChoice",
    "RobertaGIForQuestionAnswering",
    "RobertaGIForSequenceClassification",
    "RobertaGIForTokenClassification",
    "RobertaGIModel",
]

# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""BERT with gated inhibition: where the gates attach. Mechanism: `..gated`."""

from transformers.models.bert.modeling_bert import (
    BertCrossAttention,
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertModel,
    BertSelfAttention,
)

from ..gated import GatedBertAttention, GatedPreTrainedMixin
from .configuration_bert_gi import BertGIConfig


class BertGISelfAttention(GatedBertAttention, BertSelfAttention):
    """Self-attention with gates on query and key."""


class BertGICrossAttention(GatedBertAttention, BertCrossAttention):
    """Cross-attention with gates: the query gate reads the decoder's states, the key gate the encoder's."""


class BertGIMixin(GatedPreTrainedMixin):
    """Placed before a stock Bert class: our config, our backbone."""

    config: BertGIConfig
    config_class = BertGIConfig

    def build_backbone(self, config, stock):
        return BertGIModel(config, add_pooling_layer=stock.pooler is not None)


class BertGIModel(BertGIMixin, BertModel):
    """`BertModel` with gates in its last `gi_layer_num` layers."""

    def adapt(self, config):
        self.gate_layers(BertGISelfAttention, BertGICrossAttention)


class BertGIForPreTraining(BertGIMixin, BertForPreTraining):
    """`BertForPreTraining` on a gated backbone."""


class BertGILMHeadModel(BertGIMixin, BertLMHeadModel):
    """`BertLMHeadModel` on a gated backbone."""


class BertGIForMaskedLM(BertGIMixin, BertForMaskedLM):
    """`BertForMaskedLM` on a gated backbone."""


class BertGIForNextSentencePrediction(BertGIMixin, BertForNextSentencePrediction):
    """`BertForNextSentencePrediction` on a gated backbone."""


class BertGIForSequenceClassification(BertGIMixin, BertForSequenceClassification):
    """`BertForSequenceClassification` on a gated backbone."""


class BertGIForMultipleChoice(BertGIMixin, BertForMultipleChoice):
    """`BertForMultipleChoice` on a gated backbone."""


class BertGIForTokenClassification(BertGIMixin, BertForTokenClassification):
    """`BertForTokenClassification` on a gated backbone."""


class BertGIForQuestionAnswering(BertGIMixin, BertForQuestionAnswering):
    """`BertForQuestionAnswering` on a gated backbone."""


__all__ = [
    "BertGIForMaskedLM",
    "BertGIForMultipleChoice",
    "BertGIForNextSentencePrediction",
    "BertGIForPreTraining",
    "BertGIForQuestionAnswering",
    "BertGIForSequenceClassification",
    "BertGIForTokenClassification",
    "BertGILMHeadModel",
    "BertGIModel",
]

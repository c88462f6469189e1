# trf-ignore: TRF028 — MIT, see LICENSE; the rule asks for the header of transformers itself
"""DeBERTa-v2 and v3 with gated inhibition: attention, encoder, heads. Mechanism: `..gated`."""

from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2ForMaskedLM,
    DebertaV2ForMultipleChoice,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
    DebertaV2Model,
)

from ..gated import GatedPreTrainedMixin
from .configuration_deberta_v2_gi import DebertaV2GIConfig


class DebertaV2GIMixin(GatedPreTrainedMixin):
    """Placed before a stock DebertaV2 class: our config, our backbone."""

    config: DebertaV2GIConfig
    config_class = DebertaV2GIConfig

    def build_backbone(self, config, stock):
        return DebertaV2GIModel(config)


class DebertaV2GIModel(DebertaV2GIMixin, DebertaV2Model):
    """`DebertaV2Model` with our attention in every layer and gates in the last `gi_layer_num` of them."""

    def adapt(self, config):
        self.warn_if_nothing_is_on(config.inhibited_sides)


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

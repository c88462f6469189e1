"""InA: the tuner."""

from ..lowrank.model import LowRankModel
from ..targets import ATTENTION, with_gated
from .layer import InAEmbedding, InALayer, InALinear


class InAModel(LowRankModel):
    """A model with inhibited low-rank branches."""

    prefix = "ina_"
    tuner_layer_cls = InALayer
    linear_cls = InALinear
    embedding_cls = InAEmbedding
    target_module_mapping = with_gated(ATTENTION)

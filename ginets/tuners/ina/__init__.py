"""InA: a low-rank branch whose weak ranks are inhibited."""

from ..registry import register
from .config import InAConfig
from .layer import InAEmbedding, InALinear
from .model import InAModel


register("ina", InAConfig, InAModel)

"""SoRA: LoRA with a gate on each rank, trained to exact zeros by a proximal step."""

from ..registry import register
from .config import SoraConfig
from .gates import train_gates
from .layer import SoraEmbedding, SoraLinear
from .model import SoraModel


register("sora", SoraConfig, SoraModel)

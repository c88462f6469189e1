"""MTLoRA: a low-rank branch with an r × r matrix between A and B."""

from ..registry import register
from .config import MTLoraConfig
from .layer import MTLoraEmbedding, MTLoraLinear
from .model import MTLoraModel


register("mtlora", MTLoraConfig, MTLoraModel)

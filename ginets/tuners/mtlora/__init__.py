"""MTLoRA: a low-rank branch with an r × r matrix between A and B."""

from ..registry import register
from .config import MTLoRAConfig
from .layer import MTLoRAEmbedding, MTLoRALinear
from .model import MTLoRAModel


register("mtlora", MTLoRAConfig, MTLoRAModel)

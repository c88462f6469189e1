"""A model of one layer with an MTLoRA adapter, and its tensors."""

import peft
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ginets.tuners import MTLoraConfig
from ginets.tuners.mtlora.layer import MTLoraLayer


STRUCTURES = ("SHIM", "ICFM", "CTCM", "DTSM")
LAYERS = {
    "linear": lambda: nn.Linear(6, 12),
    "conv1d": lambda: Conv1D(12, 6),
    "square conv1d": lambda: Conv1D(6, 6),
    "embedding": lambda: nn.Embedding(11, 6),
}
QKV = [True, True, True]


class One(nn.Module):
    """A model of one layer."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)


def adapted(base: nn.Module, **config) -> tuple[peft.PeftModel, MTLoraLayer]:
    options = {"r": 3, "lora_alpha": 5, "target_modules": ["layer"], "fused_modules": {}} | config
    model = peft.get_peft_model(One(base), MTLoraConfig(**options))
    return model, model.base_model.model.layer


def example(base: nn.Module) -> torch.Tensor:
    if isinstance(base, nn.Embedding):
        return torch.randint(0, 11, (4, 5))
    return torch.randn(4, 5, 6, requires_grad=True)


def tensors(layer: MTLoraLayer, adapter: str = "default") -> dict[str, torch.Tensor]:
    """A, B, C and, where there is one, D."""
    return {name: layer.weight_of(name, adapter) for name in "ABCD" if adapter in layer.own(name)}

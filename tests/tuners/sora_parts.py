"""A small model with a SoRA adapter on every kind of layer, its gates and optimizer."""

import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from ginets.tuners import SoraConfig


class Small(nn.Module):
    """One module of each kind; the name of the last ends in that of the first."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 12)
        self.conv = Conv1D(10, 12)
        self.linear = nn.Linear(10, 7)
        self.inner = nn.ModuleDict({"linear": nn.Linear(7, 5)})

    def forward(self, ids):
        return self.inner["linear"](torch.tanh(self.linear(self.conv(self.table(ids)))))


TARGETS = ["table", "conv", "linear"]
IDS = torch.tensor([[1, 2, 3], [4, 5, 1]])


def small(**fields) -> PeftModel:
    torch.manual_seed(0)
    return get_peft_model(Small(), SoraConfig(**{"r": 4, "target_modules": TARGETS, "init_weights": False} | fields))


def gates(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if ".sora_gate." in name]


def close_some(model: nn.Module) -> None:
    """Sets gates to zero: some of each module, in the second module all."""
    with torch.no_grad():
        for number, gate in enumerate(gates(model)):
            gate.copy_(torch.randn(gate.shape, generator=torch.Generator().manual_seed(number)))
            gate[number % 2 :: 2] = 0
        gates(model)[1].zero_()


def adam(model: nn.Module, **fields) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **{"lr": 0.1} | fields)

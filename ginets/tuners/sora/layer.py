"""SoRA: between A and B, every rank is multiplied by its gate."""

import math

import torch
from torch import nn

from ..lowrank.branches import EmbeddingBranch, LinearBranch
from ..lowrank.config import LowRankConfig
from ..lowrank.layer import LowRankLayer


START = {"ones": torch.ones, "normal": torch.randn}


class SoraLayer(LowRankLayer):
    """The method's part of the layers."""

    prefix = "sora_"
    core_names = ("gate",)

    def add_core(self, adapter: str, config: LowRankConfig) -> None:
        self.own("gate")[adapter] = nn.Parameter(START[config.init_gate](self.r[adapter]))

    def between(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        return ranks * self.own("gate")(adapter).to(ranks.dtype)

    def prune(self, adapter: str) -> int:
        """Remove the ranks whose gate is zero and return how many are left; the factor s stays.

        If all are zero, one of them stays, so that the layer remains an ordinary one: its branch is zero all the same.
        """
        keep = self.own("gate")[adapter].nonzero().flatten().tolist() or [0]
        for name, axis in (("A", 0), ("B", 1), ("gate", 0)):
            tensor, module = self.weight_of(name, adapter), self.own(name)[adapter]
            kept = tensor.detach().index_select(axis, torch.tensor(keep, device=tensor.device))
            kept = nn.Parameter(kept, tensor.requires_grad)  # a new one: the graph of an earlier output holds the old
            if isinstance(module, nn.Linear):
                module.weight, (module.out_features, module.in_features) = kept, kept.shape
            else:
                self.own(name)[adapter] = kept
        left = len(keep) / self.r[adapter]
        self.alpha[adapter] *= math.sqrt(left) if self.configs[adapter].use_rslora else left
        self.r[adapter] = len(keep)
        return len(keep)


class SoraLinear(SoraLayer, LinearBranch):
    """Beside a linear layer."""


class SoraEmbedding(SoraLayer, EmbeddingBranch):
    """Beside an embedding."""

"""InA: between A and B, ranks below p times the token's strongest one are inhibited."""

import torch
from torch.nn import functional as F

from ...ops.inhibited_lowrank import inhibit_ranks
from ..lowrank.branches import EmbeddingBranch, LinearBranch
from ..lowrank.layer import LowRankLayer


class InALayer(LowRankLayer):
    """The method's part of the layers."""

    prefix = "ina_"

    def is_linear(self, adapter: str) -> bool:
        return not self.configs[adapter].inhibition_level

    def between(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        config = self.configs[adapter]
        return inhibit_ranks(
            ranks, config.inhibition_level, config.activation, config.detach_threshold, config.rescale
        )

    def branch(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        if self.is_linear(adapter):
            # the order of operations of PEFT's LoRA, to the last bit
            return self.using("B", adapter, lambda weight: F.linear(ranks, weight)) * self.scaling[adapter]
        return super().branch(adapter, ranks)

    def why_not_mergeable(self, adapter: str) -> str:
        level = self.configs[adapter].inhibition_level
        return (
            f"the InA adapter {adapter!r} has inhibition_level {level}, so its update depends on the input and equals "
            "no weight. Keep it as an adapter, or turn a Llama with it into a native checkpoint: ginets.fold(model, "
            "folder). Only at inhibition_level 0 it can be merged."
        )


class InALinear(InALayer, LinearBranch):
    """Beside a linear layer."""

    def combine(self, adapter: str, result: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
        if self.is_linear(adapter):
            return result + self.branch(adapter, ranks)
        return super().combine(adapter, result, ranks)


class InAEmbedding(InALayer, EmbeddingBranch):
    """Beside an embedding."""

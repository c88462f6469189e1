"""MTLoRA: between A and B, an r × r matrix T.

A fused module holds several projections one after another (GPT-2's `c_attn`: query, key, value). Of its g slices, k are
adapted, each with an A, a B and a T of its own: A is `(k·r, in)`, B `(k·out/g, r)`, T `(k, r, r)`, or, with
`mix_slices`, one `(k·r, k·r)`. Then ΔW = (α/r) · blockdiag(B₁ … B_k) · T · [A₁; …; A_k].
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from ..lowrank.branches import EmbeddingBranch, LinearBranch
from ..lowrank.layer import LowRankLayer
from .config import MTLoraConfig


# structure → the tensors that T is made of, and how; for one matrix as for a stack of them
CORES = {
    "SHIM": (("C",), lambda c: c),
    "ICFM": (("C",), lambda c: c @ c.mT),
    "CTCM": (("C", "D"), lambda c, d: c @ d),
    "DTSM": (("C", "D"), lambda c, d: c + d),
}


class MTLoraLayer(LowRankLayer):
    """The method's part of the layers."""

    prefix = "mtlr_"
    core_names = ("C", "D")
    record_names = ("slices",)

    def update_layer(self, adapter_name: str, config: MTLoraConfig, r: int, alpha: float, slices=(True,)) -> None:
        """Add an adapter; `slices`: for each projection that the module holds, whether it is adapted."""
        base = self.get_base_layer()
        if len(slices) > 1 and (isinstance(base, nn.Embedding) or self.out_features % len(slices)):
            raise ValueError(
                f"MTLoraConfig: fused_modules gives {len(slices)} slices to a {type(base).__name__} with "
                f"{self.out_features} outputs; allowed: a linear layer whose outputs can be divided by their number."
            )
        self.slices[adapter_name] = tuple(slices)
        super().update_layer(adapter_name, config, r, alpha)

    def add_core(self, adapter: str, config: MTLoraConfig) -> None:
        r, adapted = self.r[adapter], sum(self.slices[adapter])
        shape = (adapted * r,) * 2 if config.mix_slices or adapted == 1 else (adapted, r, r)
        for name in CORES[config.structure][0]:
            self.own(name)[adapter] = nn.Parameter(start_of(name, shape, config))
        if config.init == "multimodal" and config.init_weights:
            for name in ("A", "B"):
                nn.init.normal_(self.weight_of(name, adapter), std=0.02)

    def core(self, adapter: str) -> torch.Tensor:
        """T, square; block-diagonal where each slice has its own."""
        names, made_of = CORES[self.configs[adapter].structure]
        core = made_of(*(self.own(name)(adapter) for name in names))
        return core if core.dim() == 2 else torch.block_diag(*core)

    def between(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        # T meets the narrow side: r² per token, where T·A or B·T would cost r² per feature
        return F.linear(ranks, self.core(adapter))


class MTLoraLinear(MTLoraLayer, LinearBranch):
    """Beside a linear layer, fused or not."""

    def shapes(self, adapter: str) -> tuple[tuple[int, int], tuple[int, int]]:
        r, slices = self.r[adapter], self.slices[adapter]
        return (self.in_features, sum(slices) * r), (r, sum(slices) * (self.out_features // len(slices)))

    def up_of(self, adapter: str, weight: torch.Tensor) -> torch.Tensor:
        """B; for a fused module block-diagonal `(out, k·r)`, with zero rows for the slices that are not adapted."""
        slices = self.slices[adapter]
        if len(slices) == 1:
            return weight
        blocks = iter(weight.chunk(sum(slices)))
        nothing = weight.new_empty(self.out_features // len(slices), 0)
        return torch.block_diag(*(next(blocks) if adapted else nothing for adapted in slices))


class MTLoraEmbedding(MTLoraLayer, EmbeddingBranch):
    """Beside an embedding. It starts with A = 0 and B random; with `init="original"` the other way round."""

    def add_core(self, adapter: str, config: MTLoraConfig) -> None:
        super().add_core(adapter, config)
        if config.init == "original" and config.init_weights:
            self.own("A")[adapter] = nn.Parameter(uniform(self.r[adapter], self.in_features))
            nn.init.zeros_(self.own("B")[adapter])


def start_of(name: str, shape: tuple[int, ...], config: MTLoraConfig) -> torch.Tensor:
    """What C or D starts with: T = I, a random T, or 0. In `C + D`, D starts at 0 for T = I."""
    if config.init == "original" or not config.init_weights:
        return uniform(*shape)
    if config.init == "multimodal" or (config.structure == "DTSM" and name == "D"):
        return torch.zeros(shape)
    return torch.eye(shape[-1]).expand(shape).clone()


def uniform(*shape: int) -> torch.Tensor:
    """Uniform between ±1/√(columns), which is what a linear layer of torch starts with."""
    return torch.empty(shape).uniform_(-1, 1) / math.sqrt(shape[-1])

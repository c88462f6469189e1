"""The kinds of layer a branch can stand beside, and what differs between them: how A and B are stored and multiplied."""

import math
from collections.abc import Callable

import torch
from peft.utils import resolve_quantization_backend
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from ...ops.lowrank import add_up, down
from .config import LowRankConfig
from .layer import LowRankLayer, Projection, Tensors


class LinearBranch(LowRankLayer):
    """Beside `nn.Linear`, GPT-2's `Conv1D`, or a quantized linear layer."""

    def add_projections(self, adapter: str, config: LowRankConfig) -> None:
        # in this order, so that the same seed draws the same A as PEFT's LoRA
        for name, shape in zip("AB", self.shapes(adapter), strict=True):
            self.own(name)[adapter] = Projection(*shape, bias=False)
        if config.init_weights:
            nn.init.kaiming_uniform_(self.weight_of("A", adapter), a=math.sqrt(5))
            nn.init.zeros_(self.weight_of("B", adapter))

    def shapes(self, adapter: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """Features in and out of A, and of B."""
        r = self.r[adapter]
        return (self.in_features, r), (r, self.out_features)

    def ranks(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        dropout = self.own("dropout")[adapter]
        if isinstance(dropout, nn.Dropout) and dropout.training:
            x = dropout(self._cast_input_dtype(x, self.weight_of("A", adapter).dtype))
        return self.using("A", adapter, lambda weight: down(x, weight))

    def combine(self, adapter: str, result: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
        ranks, scale = self.between(adapter, ranks), self.scaling[adapter]
        return self.using("B", adapter, lambda weight: add_up(result, ranks, self.up_of(adapter, weight), scale))


class EmbeddingBranch(LowRankLayer):
    """Beside `nn.Embedding`: A is looked up, without dropout. A starts at zero and B random, as PEFT's LoRA does."""

    def containers(self) -> dict[str, nn.Module]:
        return super().containers() | {"A": Tensors(), "B": Tensors()}

    def add_projections(self, adapter: str, config: LowRankConfig) -> None:
        r = self.r[adapter]
        down, up = torch.randn(r, self.in_features), torch.randn(self.out_features, r)
        if config.init_weights:
            nn.init.zeros_(down)
            nn.init.normal_(up)
        self.own("A")[adapter], self.own("B")[adapter] = nn.Parameter(down), nn.Parameter(up)

    def ranks(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        base = self.get_base_layer()
        options = {name: getattr(base, name) for name in ("padding_idx", "max_norm", "norm_type", "sparse")}
        options["scale_grad_by_freq"] = base.scale_grad_by_freq
        return self.using("A", adapter, lambda weight: F.embedding(x, weight.T, **options))

    def combine(self, adapter: str, result: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
        # some embeddings multiply what they look up by a constant of the model: Gemma's by a tensor, BART's by a float
        factor, update = getattr(self.get_base_layer(), "embed_scale", 1.0), self.branch(adapter, ranks)
        return result + update * (factor.to(update.dtype) if isinstance(factor, torch.Tensor) else factor)


def layer_for(base_layer: nn.Module, linear: type, embedding: type) -> Callable[..., LowRankLayer] | None:
    """The class of branch for a module; None where it has none."""
    if isinstance(base_layer, nn.Embedding):
        return embedding
    if isinstance(base_layer, nn.Linear | Conv1D) or resolve_quantization_backend(base_layer):
        return linear
    return None

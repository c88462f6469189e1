"""AFLoRA: d scales the ranks, b the outputs; A and B can be frozen for good, one by one."""

import torch
from torch import nn

from ..lowrank.branches import EmbeddingBranch, LinearBranch
from ..lowrank.layer import LowRankLayer
from .config import AFLoraConfig
from .scores import MatrixState


MATRICES = ("A", "B")


class AFLoraLayer(LowRankLayer):
    """The method's part of the layers."""

    prefix = "aflr_"
    core_names = ("d", "b")
    # adapter → "A" or "B" → its state
    record_names = ("matrices",)

    def update_layer(self, adapter_name: str, config: AFLoraConfig, name: str, **sizes) -> None:
        self.matrices[adapter_name] = {}
        super().update_layer(adapter_name, config, **sizes)
        if self.is_fixed(config, name):
            for matrix in MATRICES:
                self.freeze(adapter_name, matrix, 0)

    def is_fixed(self, config: AFLoraConfig, name: str) -> bool:
        """Whether A and B of this module, called `name`, never train."""
        square = self.in_features == self.out_features
        return any(
            end == "all" or (end == "square" and square) or f".{name}".endswith(f".{end}")
            for end in config.freeze_from_start or ()
        )

    def add_projections(self, adapter: str, config: AFLoraConfig) -> None:
        super().add_projections(adapter, config)
        for matrix in MATRICES:
            getattr(nn.init, f"{config.projection_init}_")(self.weight_of(matrix, adapter))

    def add_core(self, adapter: str, config: AFLoraConfig) -> None:
        ranks, outputs = torch.full((self.r[adapter],), config.d_init), torch.full((self.out_features,), config.b_init)
        self.own("d")[adapter] = nn.Parameter(ranks.float())
        self.own("b")[adapter] = nn.Parameter(outputs.float() if config.init_weights else torch.randn(len(outputs)))

    def up_of(self, adapter: str, weight: torch.Tensor) -> torch.Tensor:
        """`Λ_b · B · Λ_d`. Both vectors go into the small matrix: nothing wide is multiplied or kept for the backward."""
        return self.own("b")(adapter)[:, None] * weight * self.own("d")(adapter)

    # ------------------------------------------------------------------ freezing

    def freeze(self, adapter: str, matrix: str, step: int) -> MatrixState:
        """Stop the training of `matrix` (`A` or `B`) after `step` steps: no gradient, and PEFT will not switch it on."""
        state = self.matrices[adapter][matrix] = MatrixState(frozen_at=step)
        names = self.frozen_peft_weight_names.get(adapter, ())
        if self.prefix + matrix not in names:
            # a new dict: the one of the class is shared by all layers
            self.frozen_peft_weight_names = self.frozen_peft_weight_names | {adapter: (*names, self.prefix + matrix)}
        weight = self.weight_of(matrix, adapter)
        weight.requires_grad_(False)
        weight.grad = None
        return state

    def thaw(self, adapter: str) -> None:
        """Undo `freeze`, except for what the config freezes from the start."""
        fixed = {matrix: state for matrix, state in self.matrices[adapter].items() if state.frozen_at == 0}
        self.matrices[adapter] = fixed
        names = tuple(self.prefix + matrix for matrix in fixed)
        self.frozen_peft_weight_names = self.frozen_peft_weight_names | {adapter: names}
        for matrix in MATRICES:
            if matrix not in fixed:
                # as d, which trains if the adapter does
                self.weight_of(matrix, adapter).requires_grad_(self.own("d")[adapter].requires_grad)


class AFLoraLinear(AFLoraLayer, LinearBranch):
    """Beside a linear layer."""


class AFLoraEmbedding(AFLoraLayer, EmbeddingBranch):
    """Beside an embedding."""

    def add_projections(self, adapter: str, config: AFLoraConfig) -> None:
        super().add_projections(adapter, config)
        # a column of A is looked up, not summed over, so its size has nothing to do with the number of columns
        nn.init.normal_(self.weight_of("A", adapter))

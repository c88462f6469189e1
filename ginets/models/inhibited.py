"""Inhibited low-rank branches (InA) as model parts: what every family that has them shares."""

import math

import torch
from torch import nn
from transformers import initialization as init

from ..ops.inhibited_lowrank import inhibited_lowrank
from .flags import InAFlags
from .gated import InhibitedPreTrainedMixin


class InhibitedLowRank(nn.Module):
    """One branch beside one projection: `A` (r, in), `B` (out, r); `B` starts at zero, so the branch starts silent."""

    def __init__(self, in_features: int, out_features: int, config: InAFlags):
        super().__init__()
        self.config = config
        self.A = nn.Parameter(torch.empty(config.ina_rank, in_features))
        self.B = nn.Parameter(torch.empty(out_features, config.ina_rank))
        self.dropout = nn.Dropout(config.ina_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., in)` → `(..., out)`."""
        config = self.config
        scaling = config.ina_alpha / config.ina_rank
        return inhibited_lowrank(self.dropout(hidden_states), self.A, self.B, config.inhibition_level, scaling)

    def extra_repr(self) -> str:
        return f"in={self.A.shape[1]}, r={self.A.shape[0]}, out={self.B.shape[0]}"


class InhibitedProjections(nn.Module):
    """Mixin for a stock module with linear projections: branches beside those that the config names.

    The projections stay the plain `nn.Linear` modules they are. The branch of `q_proj` is `ina_q_proj`: a name that
    does not end in `.q_proj`, by which adapters choose their targets.
    """

    def add_branches(self, config: InAFlags):
        for name in config.inhibited_projections:
            linear = getattr(self, name, None)
            if linear is not None:
                self.add_module(f"ina_{name}", InhibitedLowRank(linear.in_features, linear.out_features, config))

    def project(self, name: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """The projection `name` of `hidden_states`, plus its branch if it has one."""
        projected = getattr(self, name)(hidden_states)
        branch = self._modules.get(f"ina_{name}")
        return projected if branch is None else projected + branch(hidden_states)


class InAPreTrainedMixin(InhibitedPreTrainedMixin):
    """`InhibitedPreTrainedMixin` for branches: initialised as LoRA is, `A` Kaiming-uniform and `B` zero."""

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, InhibitedLowRank):
            init.kaiming_uniform_(module.A, a=math.sqrt(5))
            init.zeros_(module.B)

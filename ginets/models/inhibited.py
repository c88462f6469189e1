"""Inhibited low-rank branches (InA) as model parts: what every family that has them shares."""

import torch
from torch import nn

from ..ops.inhibited_lowrank import inhibit_ranks
from .flags import InAFlags
from .pretrained import KaimingLinear, ZeroLinear


class InhibitedLowRank(nn.Module):
    """One branch beside one projection: `A` (in → r), `B` (r → out); `B` starts at zero, so the branch is silent."""

    def __init__(self, in_features: int, out_features: int, config: InAFlags):
        super().__init__()
        self.config = config
        self.A = KaimingLinear(in_features, config.ina_rank, bias=False)
        self.B = ZeroLinear(config.ina_rank, out_features, bias=False)
        self.dropout = nn.Dropout(config.ina_dropout)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """`(..., in)` → `(..., out)`."""
        config = self.config
        ranks = inhibit_ranks(self.A(self.dropout(hidden_states)), config.inhibition_level)
        return self.B(ranks * (config.ina_alpha / config.ina_rank))


class InhibitedProjections(nn.Module):
    """Mixin for a stock module with linear projections: branches beside those that the config names.

    The projections stay the plain `nn.Linear` modules they are. The branch of `q_proj` is `q_proj_ina`: a name that
    does not end in `q_proj`, because adapters choose their targets by the end of a name.
    """

    def add_branches(self, config: InAFlags):
        for name in config.inhibited_projections:
            linear = getattr(self, name, None)
            if linear is not None:
                self.add_module(f"{name}_ina", InhibitedLowRank(linear.in_features, linear.out_features, config))

    def project(self, name: str, hidden_states: torch.Tensor) -> torch.Tensor:
        """The projection `name` of `hidden_states`, plus its branch if it has one."""
        projected = getattr(self, name)(hidden_states)
        branch = self._modules.get(f"{name}_ina")
        return projected if branch is None else projected + branch(hidden_states)

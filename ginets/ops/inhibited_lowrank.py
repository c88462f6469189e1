"""The inhibited low-rank branch (InA): numbers only.

    h = A x,    branch = s · B · leaky_relu(h − p·max_r h)      (p > 0)
                branch = s · B h                                (p = 0, plain LoRA)

The maximum runs over the ranks of one token and takes part in the gradient (InA, Neural Networks 178:106410).
"""

import torch
from torch.nn import functional as F

from .gate import inhibit


NEGATIVE_SLOPE = 0.01


def inhibit_ranks(
    ranks: torch.Tensor,
    level: float,
    activation: str = "leaky_relu",
    detach_threshold: bool = False,
    rescale: bool = False,
) -> torch.Tensor:
    """`ranks − level · max`, `(..., r)`, by token: of what is below 0 then, a hundredth is left.

    Args:
        level: p; at 0 the ranks pass unchanged, whatever the other arguments say.
        activation: `leaky_relu`, `gelu` (exact) or `none`.
        detach_threshold: no gradient flows through `p·max`.
        rescale: divide by 1 − p.
    """
    if not level:
        return ranks
    left = inhibit(ranks, level, detach=detach_threshold)
    active = ACTIVATIONS[activation](left)
    return active / (1 - level) if rescale else active


ACTIVATIONS = {
    "leaky_relu": lambda ranks: F.leaky_relu(ranks, NEGATIVE_SLOPE),
    "gelu": F.gelu,
    "none": lambda ranks: ranks,
}

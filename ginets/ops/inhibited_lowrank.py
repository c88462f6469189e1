"""The inhibited low-rank branch (InA): numbers only.

    h = A x,    branch = s · B · leaky_relu(h − p·max_r h)      (p > 0)
                branch = s · B h                                (p = 0, plain LoRA)

The maximum runs over the ranks of one token and takes part in the gradient (InA, Neural Networks 178:106410).
"""

import torch
from torch.nn import functional as F

from .gate import inhibit


NEGATIVE_SLOPE = 0.01


def inhibit_ranks(ranks: torch.Tensor, level: float) -> torch.Tensor:
    """Ranks `(..., r)` below `level` times the token's strongest one are scaled to 1 %; the others lose that share."""
    return F.leaky_relu(inhibit(ranks, level), NEGATIVE_SLOPE) if level else ranks

"""The gate with inhibition: numbers only.

    G = gelu(S − p·max S) + 1,    gated projection = projection ⊙ G

with the exact (erf) GELU and a maximum that takes part in the gradient (giMLP, arXiv 2208.00929). `S` are the scores
that the gate's two-layer map computes, p the inhibition level. The maximum runs over the features of one token
(`scope="token"`) or over the whole tensor (`scope="batch"`, the original rule).
"""

import torch
from torch.nn import functional as F


def inhibit(scores: torch.Tensor, level: float, scope: str = "token") -> torch.Tensor:
    """`scores − level · max(scores)`, the maximum over the last axis (`"token"`) or over everything (`"batch"`).

    Args:
        scores: any shape `(..., features)`.
        level: p in [0, 1); at 0 the scores are returned as they are.
    """
    if level == 0:
        return scores
    return scores - level * _maximum(scores, scope)


def gate_projection(projection: torch.Tensor, scores: torch.Tensor, level: float, scope: str = "token"):
    """`projection ⊙ (gelu(inhibit(scores)) + 1)`; both tensors `(..., features)`.

    With zero scores the gate is exactly 1 for every level. Compiled graphs get the plain operations, which the
    compiler fuses itself; eager mode gets one autograd function that saves three tensors instead of seven.
    """
    if torch.compiler.is_compiling() or not (torch.is_grad_enabled() and scores.requires_grad):
        return torch.addcmul(projection, projection, F.gelu(inhibit(scores, level, scope)))
    return _GateProjection.apply(projection, scores, level, scope)


def _maximum(scores: torch.Tensor, scope: str) -> torch.Tensor:
    return scores.amax() if scope == "batch" else scores.amax(dim=-1, keepdim=True)


class _GateProjection(torch.autograd.Function):
    """`gate_projection` with a hand-written backward (ties share the gradient of the maximum, as in `amax`)."""

    @staticmethod
    def forward(ctx, projection, scores, level, scope):
        inhibited = inhibit(scores, level, scope)
        excess = F.gelu(inhibited)  # the gate minus one
        ctx.save_for_backward(projection, inhibited, excess)
        ctx.level, ctx.scope = level, scope
        return torch.addcmul(projection, projection, excess)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        projection, inhibited, excess = ctx.saved_tensors
        grad_projection = torch.addcmul(grad, grad, excess) if ctx.needs_input_grad[0] else None
        grad_scores = torch.ops.aten.gelu_backward(grad * projection, inhibited)
        if ctx.level:
            # subtracting one number from all keeps the order: the maximum of `inhibited` sits where that of S sat
            winners = inhibited == _maximum(inhibited, ctx.scope)
            dims = None if ctx.scope == "batch" else -1
            keep = ctx.scope != "batch"
            share = ctx.level * grad_scores.sum(dims, keepdim=keep) / winners.sum(dims, keepdim=keep)
            grad_scores = torch.where(winners, grad_scores - share, grad_scores)
        return grad_projection, grad_scores, None, None

"""The gate with inhibition: numbers only.

    G = gelu(S − p·max S) + 1,    gated projection = projection ⊙ G

with the exact (erf) GELU and a maximum that takes part in the gradient (giMLP, arXiv 2208.00929). `S` are the scores
that the gate's two-layer map computes, p the inhibition level. The maximum runs over the features of one token
(`scope="token"`) or over the whole tensor (`scope="batch"`, the original rule).
"""

import torch
from torch.nn import functional as F

from .dispatch import needs_plain_operations


# what the maximum runs over, as arguments of a reduction
SCOPES = {"token": {"dim": -1, "keepdim": True}, "batch": {}}


def inhibit(scores: torch.Tensor, level: float, scope: str = "token", detach: bool = False) -> torch.Tensor:
    """`scores − level · max(scores)`, the maximum over the last axis (`"token"`) or over everything (`"batch"`).

    Args:
        scores: any shape `(..., features)`.
        level: p in [0, 1); at 0 the scores are returned as they are.
        detach: no gradient flows through the maximum.

    Raises:
        ValueError: there is no such scope.
    """
    if level == 0:
        return scores
    maximum = _maximum(scores, scope)
    return scores - level * (maximum.detach() if detach else maximum)


def gate_projection(projection: torch.Tensor, scores: torch.Tensor, level: float, scope: str = "token"):
    """`projection ⊙ (gelu(inhibit(scores)) + 1)`; both tensors `(..., features)`.

    With zero scores the gate is exactly 1 for every level. Eager training gets one autograd function that keeps
    two tensors instead of six, everything else the plain operations.
    """
    training = torch.is_grad_enabled() and scores.requires_grad
    if not training or projection.dtype != scores.dtype or needs_plain_operations(projection, scores):
        return _plain(projection, scores, level, scope)
    return _GateProjection.apply(projection, scores, level, scope)


def _plain(projection, scores, level, scope):
    return torch.addcmul(projection, projection, F.gelu(inhibit(scores, level, scope)))


def _maximum(scores: torch.Tensor, scope: str) -> torch.Tensor:
    return scores.amax(**over(scope))


def over(scope: str) -> dict:
    if scope not in SCOPES:
        raise ValueError(f"scope is {scope!r}; allowed: {', '.join(SCOPES)}.")
    return SCOPES[scope]


class _GateProjection(torch.autograd.Function):
    """`gate_projection` with a hand-written backward (ties share the gradient of the maximum, as in `amax`).

    It keeps its two inputs, computes the GELU again and works in place: fresh memory costs more than the arithmetic.
    """

    @staticmethod
    def forward(ctx, projection, scores, level, scope):
        ctx.save_for_backward(projection, scores)
        ctx.level, ctx.scope = level, scope
        excess = _subtract_maximum(scores, level, scope)
        torch.ops.aten.gelu.out(excess, out=excess)
        return torch.addcmul(projection, projection, excess, out=excess)

    @staticmethod
    def backward(ctx, grad):
        projection, scores = ctx.saved_tensors
        level, scope = ctx.level, ctx.scope
        if torch.is_grad_enabled():  # create_graph=True: what follows would cut the graph
            needed = [x for x in (projection, scores) if x.requires_grad]
            grads = torch.autograd.grad(_plain(projection, scores, level, scope), needed, grad, create_graph=True)
            return None if len(needed) == 1 else grads[0], grads[-1], None, None
        inhibited = _subtract_maximum(scores, level, scope)
        grad_scores = grad * projection
        torch.ops.aten.gelu_backward.grad_input(grad_scores, inhibited, grad_input=grad_scores)
        excess = torch.ops.aten.gelu.out(inhibited, out=inhibited)
        grad_projection = torch.addcmul(grad, grad, excess, out=excess)
        if level:
            # the distance to the maximum is 0 for the winners and below 0 for all others: sign + 1 marks them
            winners = _subtract_maximum(scores, 1, scope).sign_().add_(1)
            # float16 ends at 65,504: at the start all scores are 0, and a batch has more of them than that
            wide = torch.promote_types(scores.dtype, torch.float32)
            total, ties = (x.sum(dtype=wide, **over(scope)) for x in (grad_scores, winners))
            grad_scores.addcmul_(winners, (total / ties).to(winners.dtype), value=-level)
        return grad_projection, grad_scores, None, None


def _subtract_maximum(scores, level, scope):
    """`inhibit`, always in fresh memory."""
    return torch.sub(scores, _maximum(scores, scope), alpha=level) if level else scores.clone()

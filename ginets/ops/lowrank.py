"""The two products of a low-rank branch: numbers only.

    h = A x                 y = W x + s · B h

Both give what the plain expressions give (up to rounding, in the case of `add_up`); they differ in what they cost.
"""

import torch
from torch.nn import functional as F

from .dispatch import compute_dtype, needs_plain_operations


def down(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x (..., in)`, `weight (r, in)` → `(..., r)` in the type of `weight` (or of an active autocast).

    For its backward pass `x` is kept as it is. A converted copy would be one of the largest tensors that a layer of a
    half-precision base keeps, and each branch on the same `x` would keep its own.
    """
    if x.dtype == weight.dtype or torch.is_autocast_enabled(x.device.type):  # autocast converts both
        return F.linear(x, weight)
    return (_plain_down if needs_plain_operations(x, weight) else _Down.apply)(x, weight)


def _plain_down(x, weight):
    return F.linear(x.to(weight.dtype), weight)


class _Down(torch.autograd.Function):
    """`_plain_down` that converts `x` again in its backward pass, and keeps nothing for a gradient nobody needs."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.dtype = x.dtype
        x_needed, weight_needed = ctx.needs_input_grad
        ctx.save_for_backward(weight if x_needed else None, x if weight_needed else None)
        return _plain_down(x, weight)

    @staticmethod
    def backward(ctx, grad):
        weight, x = ctx.saved_tensors
        grad_x = None if weight is None else (grad @ weight).to(ctx.dtype)
        if x is None:
            return grad_x, None
        return grad_x, grad.reshape(-1, grad.shape[-1]).T @ x.reshape(-1, x.shape[-1]).to(grad.dtype)


def add_up(result: torch.Tensor, ranks: torch.Tensor, weight: torch.Tensor, scale: float) -> torch.Tensor:
    """`result (..., out) + scale · ranks (..., r) · weightᵀ (r, out)`.

    One product that adds to a copy of `result`, instead of a product, its scaling and a sum: nothing wide in between.
    """
    dtype = compute_dtype(ranks)
    if torch.promote_types(result.dtype, dtype) != dtype:  # the product comes in fewer bits than `result` has
        return result + F.linear(ranks * scale, weight)
    rows = result.reshape(-1, result.shape[-1]).to(dtype)
    return torch.addmm(rows, ranks.reshape(-1, ranks.shape[-1]), weight.T, alpha=scale).view(result.shape)

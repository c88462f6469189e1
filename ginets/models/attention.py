"""What the attention of every family does around its mechanism: split heads, call the configured attention."""

from collections.abc import Callable

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def split_heads(projected: torch.Tensor, head_size: int) -> torch.Tensor:
    """`(batch, length, heads * head_size)` → `(batch, heads, length, head_size)`."""
    return projected.unflatten(-1, (-1, head_size)).transpose(1, 2)


def attend(
    module: nn.Module,
    eager: Callable,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float,
    eager_only: bool = False,
    **options,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Attention by the implementation that `module.config` names; `eager` is the family's own in plain operations.

    Args:
        query, key, value: `(batch, heads, length, head_size)`.
        dropout: probability on the weights while training.
        eager_only: whatever is configured (only `eager` returns weights).

    Returns:
        `(batch, length, heads * head_size)`, and the weights or None.
    """
    implementation = eager
    if not eager_only:
        implementation = ALL_ATTENTION_FUNCTIONS.get_interface(module.config._attn_implementation, eager)
    dropout = dropout if module.training else 0.0
    context, weights = implementation(
        module, query, key, value, attention_mask, dropout=dropout, scaling=module.scaling, **options
    )
    return context.flatten(2).contiguous(), weights

"""Naive statements of the mechanisms, attached to stock models by hooks: the independent reference of the tests."""

import math

import torch
from torch.nn import functional as F


def erf_gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def gate(hidden_states, inhibition, select, level, scope):
    """G = gelu(S − p·max S) + 1 with S = select(gelu(inhibition(h))), as in the giMLP code (scope "batch")."""
    scores = select(erf_gelu(inhibition(hidden_states)))
    maximum = scores.max() if scope == "batch" else scores.max(dim=-1, keepdim=True).values
    return erf_gelu(scores - level * maximum) + 1


def branch(hidden_states, A, B, level, scaling):
    """s · B · leaky_relu(Ax − p·max(Ax)); B A x at level 0."""
    h = hidden_states @ A.T
    if level > 0:
        h = F.leaky_relu(h - level * h.max(dim=-1, keepdim=True).values, 0.01)
    return scaling * (h @ B.T)


def attach_gates(stock, ours):
    """Multiplies the query and key projections of `stock` by the gates that `ours` holds, layer by layer.

    Only what has the length of the hidden states is gated: DeBERTa sends its position table through the same
    projections.
    """
    config = ours.config
    for name, attention in ours.named_modules():
        for side, projections in {"q": ("query", "query_proj"), "k": ("key", "key_proj")}.items():
            if not hasattr(attention, f"select_{side}"):
                continue
            target = stock.get_submodule(name)
            projection = next(getattr(target, each) for each in projections if hasattr(target, each))
            inhibition, select = getattr(attention, f"inhibition_{side}"), getattr(attention, f"select_{side}")

            def multiply(module, args, output, inhibition=inhibition, select=select):
                if args[0].shape[1] == getattr(config, "position_buckets", 0) * 2:
                    return output
                return output * gate(args[0], inhibition, select, config.inhibition_level, config.inhibition_scope)

            projection.register_forward_hook(multiply)


def attach_branches(stock, ours):
    """Adds the branches that `ours` holds to the projections of `stock`."""
    config = ours.config
    for name, held in ours.named_modules():
        parent, _, own = name.rpartition(".")
        if own.endswith("_ina"):

            def add(linear, args, output, held=held):
                scaling = config.ina_alpha / config.ina_rank
                return output + branch(args[0], held.A.weight, held.B.weight, config.inhibition_level, scaling)

            stock.get_submodule(f"{parent}.{own.removesuffix('_ina')}").register_forward_hook(add)

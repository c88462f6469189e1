"""SoRA: how the gates are trained.

    g ← T_{ηλ}(g − η ∂L/∂g),        T_ξ(v) = sign(v) · max(|v| − ξ, 0)

is one step of proximal gradient descent on `L + λ·|g|`, once for each step of the optimizer. It runs in a hook of the
optimizer, after which the gates have no gradient left. An optimizer skips what has none, weight decay and momentum
included, so nothing else moves a gate.
"""

import warnings

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from .config import SoraConfig
from .layer import SoraLayer


# steps that the gates of a group have done, kept in the group: the optimizer's state is in every checkpoint
STEPS = "gate_steps"
PEAK = "gate_peak"  # the learning rate of the group that goes with the full `gate_lr`


def train_gates(model: nn.Module, optimizer: Optimizer) -> RemovableHandle:
    """Move the gates of `model` by the proximal step, and by nothing else, whenever `optimizer` steps.

    The gates are parameters of `optimizer` like A and B: gradients accumulate, are averaged over processes and clipped
    together with the others, and what is left when `optimizer.step()` is called counts.

    Args:
        model: holds a SoRA adapter, at any depth.
        optimizer: any that skips parameters without a gradient; its own step must not take a closure.

    Returns:
        A handle; `handle.remove()` ends it.

    Raises:
        ValueError: the model has no gates, or the optimizer does not have them.
    """
    layers = [module for module in model.modules() if isinstance(module, SoraLayer)]
    while hasattr(optimizer, "optimizer"):  # wrapped, e.g. by accelerate
        optimizer = optimizer.optimizer
    known = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    if not layers:
        raise ValueError("the model has no SoRA adapter, so there are no gates to train.")
    if known.isdisjoint(gates_of(layers)):
        raise ValueError("the optimizer has none of the model's gates; create it from the parameters of the model.")

    if half := {str(gate.dtype) for gate in gates_of(layers) if gate.dtype.itemsize < 4}:
        warnings.warn(
            f"the gates of SoRA are in {', '.join(half)}, whose numbers near 1 lie further apart than a step goes; leave "
            "`autocast_adapter_dtype` of get_peft_model on, so that they are float32.",
            stacklevel=2,
        )

    def hook(optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        if any(map(callable, (*args, *kwargs.values()))):
            raise ValueError("the gates of SoRA cannot be trained by an optimizer that steps with a closure.")
        step_gates(optimizer, gates_of(layers))

    return optimizer.register_step_pre_hook(hook)


def gates_of(layers: list[SoraLayer]) -> dict[nn.Parameter, SoraConfig]:
    return {gate: layer.configs[adapter] for layer in layers for adapter, gate in layer.own("gate").items()}


@torch.no_grad()
def step_gates(optimizer: Optimizer, gates: dict[nn.Parameter, SoraConfig]) -> None:
    """The proximal step of all gates that have a gradient; takes the gradient away."""
    # a fused optimizer under float16 scaling is called with scaled gradients, and even if they overflowed
    scale, overflow = (getattr(optimizer, name, None) for name in ("grad_scale", "found_inf"))
    for group in optimizer.param_groups:
        ready = [gate for gate in group["params"] if gate in gates and gate.grad is not None]
        if ready and not overflow:
            # schedulers note where they started, but for those that lower the rate by what happens; one cycle its peak
            group.setdefault(PEAK, group.get("max_lr", group.get("initial_lr", group["lr"])))
            group[STEPS] = group.get(STEPS, 0) + 1
            for gate in ready:
                rate, penalty = rates(gates[gate], group)
                grad = gate.grad if scale is None else gate.grad / scale
                gate.copy_(F.softshrink(gate - rate * grad, rate * penalty))
        for gate in ready:
            gate.grad = None


def rates(config: SoraConfig, group: dict) -> tuple[float, float]:
    """η and λ of the current step."""
    rate, peak = float(group["lr"]), float(group[PEAK])
    if config.gate_lr is not None:
        rate = config.gate_lr * (rate / peak if peak else 1.0)
    return rate, config.sparse_lambda * min(1.0, group[STEPS] / max(1, config.lambda_warmup))

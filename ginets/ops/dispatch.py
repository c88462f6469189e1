"""What every hand-written operation asks first: in which type, and whether it must give way to plain operations."""

import torch
from torch.autograd import forward_ad


def needs_plain_operations(*tensors: torch.Tensor | None) -> bool:
    """Whether a graph is being compiled, exported or traced, or a transform other than reverse mode is at work.

    Compilers fuse plain operations themselves; `torch.func` and forward mode need each operation's own rule.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)
    )


def compute_dtype(tensor: torch.Tensor) -> torch.dtype:
    """The type that products with `tensor` come in: its own, or that of an active autocast."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype

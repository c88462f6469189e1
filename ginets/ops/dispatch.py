"""When a hand-written autograd function must give way to the plain operations it stands for."""

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

"""NF4 weights of bitsandbytes on a CPU.

On a CPU with AVX512-BF16, bitsandbytes (0.50) packs an NF4 weight into another layout when it is first used without
gradients. From then on it passes no gradient to its input, not even after `train()`, and dequantizes to other values,
so merging is wrong; saving unpacks it with its scales transposed. Nothing of this raises an error.
"""

from torch import nn


def keep_unpacked(model: nn.Module) -> None:
    """Unpack all NF4 weights of `model` and have them stay so. Inference then computes in the layers' own dtype."""
    for module in model.modules():
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        module.support_avx512bf16_for_cpu = False
        state = getattr(module.weight, "quant_state", None)
        if getattr(state, "packing_format_for_cpu", False):
            module.state_dict()  # its own way to unpack
        if state is not None and state.absmax.dim() == 2:
            state.absmax = state.absmax.T.flatten().float()

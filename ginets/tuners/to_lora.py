"""An adapter of this package → a plain LoRA adapter with the same outputs, for everything that reads LoRA."""

import re
from collections import Counter
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from .lowrank import LowRankLayer, LowRankModel


# fields that mean the same in both configs
SHARED = (
    "task_type",
    "base_model_name_or_path",
    "revision",
    "target_modules",
    "exclude_modules",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
)


def to_lora(peft_model: PeftModel, folder: str | Path, adapter_name: str | None = None) -> None:
    """Write one adapter as plain LoRA: `adapter_config.json` and `adapter_model.safetensors`.

    PEFT loads the folder without this package. What the method has between A and B becomes part of A, so the rank
    stays r; a fused module of MTLoRA with k adapted slices becomes one of rank k·r. Ranks that are all zero
    in A are left out. Dropout, the modules it targets and those trained whole are carried over.

    Args:
        peft_model: a model with adapters of this package.
        folder: where to write; created if need be.
        adapter_name: which adapter. Default: the active one.

    Raises:
        NotMergeableError: the adapter is no weight (InA above p = 0).
        TypeError: no model with adapters of this package.
        ValueError: no such adapter, several active ones, or the adapter is merged into the model.
    """
    if not isinstance(peft_model, PeftModel) or not isinstance(peft_model.base_model, LowRankModel):
        kind = type(getattr(peft_model, "base_model", peft_model)).__name__
        raise TypeError(f"to_lora takes a PeftModel with an adapter of ginets; this is a {kind}.")
    adapter = adapter_name or the_active(peft_model)
    if adapter not in peft_model.peft_config:
        known = ", ".join(sorted(peft_model.peft_config))
        raise ValueError(f"adapter_name is {adapter!r}; the model has {known}.")
    tuner = peft_model.base_model
    tuner.check_linear([adapter])
    layers = {
        name: module
        for name, module in tuner.model.named_modules()
        if isinstance(module, LowRankLayer) and adapter in module.r
    }
    if any(layer.merged for layer in layers.values()):
        raise ValueError(f"adapter {adapter!r} cannot be exported from a merged model; call unmerge_adapter() first.")
    weights = whole_modules(peft_model, adapter)
    ranks, alphas = {}, {}
    for name, layer in layers.items():
        down, up = without_zeros(*layer.factors(adapter))
        ranks[name] = down.shape[0]
        alphas[name] = simple(layer.scaling[adapter] * ranks[name])
        weights |= lora_weights(f"base_model.model.{name}", layer.get_base_layer(), down, up)
    config = lora_config(peft_model, adapter, layers, ranks, alphas)
    Path(folder).mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder, auto_mapping_dict=None if config.task_type else class_of(peft_model))
    # copies: safetensors takes no two tensors that share memory
    weights = {name: weight.clone(memory_format=torch.contiguous_format) for name, weight in weights.items()}
    save_file(weights, Path(folder) / "adapter_model.safetensors", metadata={"format": "pt"})


@torch.no_grad()
def without_zeros(down: torch.Tensor, up: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors without ranks that A leaves at zero (SoRA's closed gates), unless all are."""
    kept = down.any(dim=1)
    return (down[kept], up[:, kept]) if kept.any() else (down, up)


def the_active(peft_model: PeftModel) -> str:
    active = peft_model.active_adapters
    if len(active) != 1:
        raise ValueError(f"adapter_name is needed: the active adapters are {', '.join(active) or 'none'}.")
    return active[0]


def whole_modules(peft_model: PeftModel, adapter: str) -> dict[str, torch.Tensor]:
    """What is saved with the adapter beside the branches: `modules_to_save`, resized or adapted embeddings."""
    own = f".{peft_model.base_model.prefix}"
    state = get_peft_model_state_dict(peft_model, adapter_name=adapter)
    return {name: weight for name, weight in state.items() if own not in name}


def lora_weights(name: str, base: nn.Module, down: torch.Tensor, up: torch.Tensor) -> dict[str, torch.Tensor]:
    if isinstance(base, nn.Embedding):
        return {f"{name}.lora_embedding_A": down, f"{name}.lora_embedding_B": up}
    return {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}


def lora_config(peft_model: PeftModel, adapter: str, layers: dict, ranks: dict, alphas: dict) -> LoraConfig:
    """The config under which PEFT gives every layer its rank and, by α/r, its scale."""
    source = peft_model.peft_config[adapter]
    shared = {name: getattr(source, name) for name in SHARED}
    shared["base_model_name_or_path"] = source.base_model_name_or_path or name_of(peft_model)
    common_rank, common_alpha = (Counter(values.values()).most_common(1)[0][0] for values in (ranks, alphas))
    return LoraConfig(
        **shared,
        r=common_rank,
        lora_alpha=common_alpha,
        lora_dropout=source.dropout,
        rank_pattern=exceptions(ranks, common_rank),
        alpha_pattern=exceptions(alphas, common_alpha),
        fan_in_fan_out=any(isinstance(layer.get_base_layer(), Conv1D) for layer in layers.values()),
        inference_mode=True,
    )


def exceptions(values: dict[str, float], common: float) -> dict[str, float]:
    """What differs from the common value, by full name. Patterns match ends of names, hence the anchor and escapes."""
    return {f"^{re.escape(name)}": value for name, value in values.items() if value != common}


def simple(alpha: float) -> float | int:
    """16 rather than 16.0 or 15.999999999999998, as (α/r)·r may come out."""
    return round(alpha) if abs(alpha - round(alpha)) < 1e-9 else alpha


def name_of(peft_model: PeftModel) -> str | None:
    return getattr(peft_model.get_base_model(), "name_or_path", None) or None


def class_of(peft_model: PeftModel) -> dict[str, str]:
    """With which class an adapter without a task is loaded again (`AutoPeftModel`)."""
    base = type(peft_model.get_base_model())
    return {"base_model_class": base.__name__, "parent_library": base.__module__}

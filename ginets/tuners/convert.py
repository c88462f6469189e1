"""InA adapters as the original fork of PEFT 0.10 wrote them → ours.

The original kept InA under the names of LoRA: `peft_type` LORA, tensors `lora_A` and `lora_B`, the level as
`lora_inhibition` in `adapter_config.json`. A stock PEFT drops that field and runs such a file as LoRA.
"""

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .ina import InAConfig


CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
RENAMED = {"lora_alpha": "ina_alpha", "lora_dropout": "ina_dropout", "lora_inhibition": "inhibition_level"}
KEPT = {
    *("r", "rank_pattern", "alpha_pattern", "use_rslora"),
    *("target_modules", "exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern"),
    *("task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping"),
}
# these say how a layer starts or is built, which a trained adapter and our layers know by themselves, or detail what
# has a switch of its own, which is refused if it is on
SETTLED = {
    *("peft_type", "peft_version", "init_lora_weights", "fan_in_fan_out"),
    *("megatron_core", "runtime_config", "qalora_group_size"),
}
OFF = (False, "none", [], {})
TENSOR = re.compile(r"(.+)\.lora_(?:embedding_)?([AB])(\.weight)?")


def convert_adapter(
    src: str | Path, dst: str | Path, inhibition_level: float | None = None, activation: str = "leaky_relu"
) -> InAConfig:
    """Read an InA adapter of the original code from the folder `src`, write ours to `dst`.

    The tensors are the same, under `ina_` names. Weights of heads that were trained along are carried over. The files
    do not say which version of the code they are of: the last one is assumed. In earlier ones, layers that were not
    quantized were plain LoRA whatever the level (`inhibition_level=0`), and at first there was no activation
    (`activation="none"`).

    Args:
        inhibition_level: p to use in place of the file's `lora_inhibition`.
        activation: as in `InAConfig`.

    Returns:
        The config that was written.

    Raises:
        FileNotFoundError: `src` has no `adapter_config.json` or no `adapter_model.safetensors`.
        FileExistsError: `dst` is there and not empty.
        ValueError: the adapter holds something that `InAConfig` does not express, or is a pickle.
    """
    src, dst = Path(src), Path(dst)
    check_folders(src, dst)
    given = {} if inhibition_level is None else {"lora_inhibition": inhibition_level}
    config = convert_config(json.loads((src / CONFIG).read_text(encoding="utf-8")) | given, activation)
    tensors = convert_tensors(load_file(src / WEIGHTS))
    dst.mkdir(parents=True, exist_ok=True)
    save_file(tensors, dst / WEIGHTS, metadata={"format": "pt"})
    config.save_pretrained(dst)
    return config


def check_folders(src: Path, dst: Path) -> None:
    if not (src / CONFIG).is_file():
        raise FileNotFoundError(f"{src} holds no {CONFIG}; the folder of an adapter is needed.")
    if not (src / WEIGHTS).is_file():
        if (src / PICKLE).is_file():
            raise ValueError(
                f"{src / PICKLE} is a pickle, which can run code when it is opened, so it is not read; "
                f"save its tensors as {WEIGHTS} with a tool you trust."
            )
        raise FileNotFoundError(f"{src} holds no {WEIGHTS}.")
    if dst.exists() and (not dst.is_dir() or any(dst.iterdir())):
        raise FileExistsError(f"{dst} is there and not empty; give a new folder.")


def convert_config(fields: dict, activation: str) -> InAConfig:
    """The fields of an original `adapter_config.json` as an `InAConfig`. Nothing that has a meaning is dropped."""
    if fields.get("peft_type") != "LORA":
        raise ValueError(f"{CONFIG}: peft_type is {fields.get('peft_type')!r}; InA of the original code has 'LORA'.")
    if fields.get("lora_inhibition") is None:
        raise ValueError(
            f"{CONFIG} has no lora_inhibition, so it is plain LoRA, which PEFT loads as it is, or incomplete; give "
            "inhibition_level to say which: 0 for LoRA, 0.3 for what the original code assumed."
        )
    written = {name: value for name, value in fields.items() if value is not None}
    values = {RENAMED.get(name, name): value for name, value in written.items() if name in KEPT | RENAMED.keys()}
    unknown = written.keys() - KEPT - RENAMED.keys() - SETTLED
    if meant := sorted(f"{name} = {written[name]!r}" for name in unknown if written[name] not in OFF):
        raise ValueError(f"{CONFIG} has fields that InAConfig does not express: {', '.join(meant)}.")
    return InAConfig(**values, activation=activation)


def convert_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`lora_A`, `lora_B` (of embeddings, too) under our names; all others, heads for instance, as they are."""
    converted, parts = {}, {}
    for name, tensor in tensors.items():
        match = TENSOR.fullmatch(name)
        if match is None and ".lora_" in name:
            raise ValueError(f"{WEIGHTS} has {name}, which InA does not have.")
        if match is not None:
            if tensor.ndim != 2:
                raise ValueError(f"{WEIGHTS}: {name} belongs to a convolution, which InAConfig does not support.")
            module, part, leaf = match.groups(default="")
            parts.setdefault(module, set()).add(part)
            name = f"{module}.ina_{part}{leaf}"
        converted[name] = tensor
    if not parts:
        raise ValueError(f"{WEIGHTS} has no lora_A and lora_B.")
    if halves := [module for module, found in parts.items() if found != {"A", "B"}]:
        raise ValueError(f"{WEIGHTS} has only one of lora_A and lora_B for {', '.join(halves)}.")
    return converted

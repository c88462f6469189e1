"""Llama with an InA adapter → a native LlamaInA model with the same outputs, which needs no PEFT."""

import math
import re
import warnings
from copy import deepcopy
from pathlib import Path

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.utils import HFValidationError
from peft import PeftModel
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers import initialization as init
from transformers.models.llama import modeling_llama

from ..models.doors import convert_config
from ..models.flags import INA_TARGETS
from ..models.llama_ina import LlamaInAConfig, modeling_llama_ina
from .ina import InAConfig
from .ina.layer import InALayer


PROJECTION = re.compile(rf"(?:.+\.)?layers\.(\d+)\.(?:self_attn|mlp)\.({'|'.join(INA_TARGETS)})")
TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json", "tokenizer.model")


def fold(
    model: PeftModel, folder: str | Path | None = None, tokenizer: PreTrainedTokenizerBase | None = None
) -> PreTrainedModel:
    """Turn a Llama with one active InA adapter into a `LlamaInA…` model of its own.

    Args:
        model: any head that `LlamaInA` has (causal LM, sequence and token classification, question answering, none).
            It is left as it is; the new model has weights of its own, in the precision of the base.
        folder: where to save the new model. `Auto…` classes load it after `import ginets`.
        tokenizer: saved beside it; default: the one beside the base checkpoint, if there is one on this machine.

    Returns:
        The native model: same outputs (in half precision up to its rounding), same mode, same device.

    Raises:
        TypeError: `model` is no PeftModel.
        ValueError: `LlamaInA` cannot express the adapter; the message names the field.
    """
    if not isinstance(model, PeftModel):
        raise TypeError(f"fold takes a PeftModel, a Llama with an InA adapter; this is a {type(model).__name__}.")
    base = model.get_base_model()
    model_class, adapter = native_class(base), sole_adapter(model)
    config = model.peft_config[adapter]
    flags = branch_flags(base, adapter, config)
    state = native_state(base, adapter)
    with init.no_init_weights():  # every weight is loaded on the next line
        native = model_class._from_config(
            convert_config(base.config, LlamaInAConfig, flags | tying(base, state)), dtype=base.dtype
        )
    native.load_state_dict(state)
    native.to(base.device).train(model.training)
    if native.can_generate():
        native.generation_config = deepcopy(base.generation_config)
    if folder is not None:
        native.save_pretrained(folder)
        tokenizer = tokenizer or find_tokenizer(config.base_model_name_or_path or base.name_or_path)
        if tokenizer is not None:
            tokenizer.save_pretrained(folder)
    return native


def refuse(reason: str):
    raise ValueError(f"this adapter cannot be folded into a native LlamaInA: {reason}.")


def native_class(base: PreTrainedModel) -> type[PreTrainedModel]:
    """Our counterpart of the class of `base`."""
    stock = type(base)
    name = f"LlamaInA{stock.__name__.removeprefix('Llama')}"
    if stock.__module__ != modeling_llama.__name__ or not hasattr(modeling_llama_ina, name):
        refuse(f"its base is a {stock.__name__}, and only the stock Llama models have a native counterpart")
    layers = [module for module in base.modules() if isinstance(module, InALayer)]
    if getattr(base, "is_quantized", False) or any(layer.quantization_backend for layer in layers):
        refuse("its base is quantized; load the base in full or half precision")
    return getattr(modeling_llama_ina, name)


def sole_adapter(model: PeftModel) -> str:
    """The name of the one active adapter, after checking that it is InA and not merged."""
    if len(model.active_adapters) != 1:
        refuse(f"{len(model.active_adapters)} adapters are active ({', '.join(model.active_adapters)}), not one")
    (adapter,) = model.active_adapters
    config = model.peft_config[adapter]
    if not isinstance(config, InAConfig):
        refuse(f"{adapter!r} has a {type(config).__name__}, not an InAConfig")
    if any(isinstance(module, InALayer) and module.merged for module in model.modules()):
        refuse("it is merged into the base; call unmerge_adapter() first")
    return adapter


def branch_flags(base: PreTrainedModel, adapter: str, config: InAConfig) -> dict:
    """The flags of a `LlamaInAConfig` whose branches equal those of the adapter.

    Read from the layers, not from the config: patterns that come out even are no obstacle.
    """
    level = config.inhibition_level
    if level and config.activation != "leaky_relu":
        refuse(f"activation is {config.activation!r}; LlamaInA has leaky_relu only")
    if level and config.detach_threshold:
        warnings.warn(
            "detach_threshold is not kept: it acts in training only, the outputs are the same.", stacklevel=3
        )
    layers = {
        name: module for name, module in base.named_modules() if isinstance(module, InALayer) and adapter in module.r
    }
    rank = same({layer.r[adapter] for layer in layers.values()}, "rank_pattern gives modules different ranks")
    scaling = same(
        {layer.scaling[adapter] for layer in layers.values()}, "alpha_pattern gives modules different scaling factors"
    )
    if level and config.rescale:
        scaling /= 1 - level
    if not 0 < scaling < math.inf:
        refuse(f"the branches are scaled by {scaling}, and ina_alpha has to be a finite number above 0")
    return {
        "inhibition_level": level,
        "ina_rank": rank,
        "ina_alpha": scaling * rank,  # what α/√r and `rescale` amount to, as an α over r
        "ina_dropout": config.ina_dropout,
        **placement(list(layers), base.config.num_hidden_layers),
    }


def same(values: set, otherwise: str):
    """The only element of `values`."""
    if len(values) != 1:
        refuse(f"{otherwise} ({', '.join(map(str, sorted(values)))})")
    return values.pop()


def placement(names: list[str], layer_count: int) -> dict:
    """`ina_target_modules` and `gi_layer_num` for branches at the modules `names`."""
    found: dict[int, set[str]] = {}
    for name in names:
        match = PROJECTION.fullmatch(name)
        if match is None:
            refuse(f"target_modules includes {name!r}; LlamaInA has branches beside {', '.join(INA_TARGETS)} only")
        found.setdefault(int(match[1]), set()).add(match[2])
    first = min(found)
    if sorted(found) != list(range(first, layer_count)):
        refuse(f"layers_to_transform leaves branches in the layers {sorted(found)}; possible are the last n layers")
    targets = found[first]
    if any(others != targets for others in found.values()):
        refuse("target_modules adapts other projections in some layers than in others")
    return {
        "ina_target_modules": [name for name in INA_TARGETS if name in targets],
        "gi_layer_num": layer_count - first if first else None,
    }


def native_state(base: PreTrainedModel, adapter: str) -> dict[str, torch.Tensor]:
    """The tensors of `base` with this adapter, under the names of the native model."""
    state, trained = {}, {}
    for name, tensor in base.state_dict().items():
        if ".ina_" in name:
            module, _, own = name.partition(".ina_")  # own: A.<adapter>.weight
            part, owner, leaf = own.split(".")
            if owner == adapter:
                state[f"{module}_ina.{part}.{leaf}"] = tensor
        elif ".modules_to_save." in f".{name}":
            module, _, own = name.partition("modules_to_save.")
            owner, _, leaf = own.partition(".")
            if owner == adapter:
                trained[module + leaf] = tensor
        else:
            state[name.replace("original_module.", "").replace("base_layer.", "")] = tensor
    return state | trained


def tying(base: PreTrainedModel, state: dict[str, torch.Tensor]) -> dict:
    """An embedding or head that was trained whole is no longer tied to the other."""
    if not base.config.tie_word_embeddings or "lm_head.weight" not in state:
        return {}
    return {"tie_word_embeddings": torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"])}


def find_tokenizer(source: str | None) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a checkpoint in a folder or in the Hub's cache; None if there is none. Nothing is downloaded."""
    if not source:
        return None
    if Path(source).is_dir():
        there = any(Path(source, file).is_file() for file in TOKENIZER_FILES)
    else:
        try:
            there = any(isinstance(try_to_load_from_cache(source, file), str) for file in TOKENIZER_FILES)
        except HFValidationError:  # the path of a folder that is gone
            there = False
    return AutoTokenizer.from_pretrained(source, local_files_only=True) if there else None

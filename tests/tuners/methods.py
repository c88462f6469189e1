"""What the common tests run on: every method in its forms, in tiny models with every kind of layer."""

import pytest
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BloomConfig,
    GPT2Config,
    PreTrainedModel,
    T5Config,
)

from ginets import AFLoraConfig, InAConfig, MTLoraConfig, SoraConfig
from ginets.tuners import LowRankLayer
from tests import tiny


# one form of each method, for what does not depend on the form
METHODS = {"ina": InAConfig, "mtlora": MTLoraConfig, "aflora": AFLoraConfig, "sora": SoraConfig}
# name → config class and the fields that make the form
FORMS = {name: (config, {}) for name, config in METHODS.items()} | {
    "ina_p0": (InAConfig, {"inhibition_level": 0.0}),
    "mtlora_icfm": (MTLoraConfig, {"structure": "ICFM"}),
    "mtlora_ctcm": (MTLoraConfig, {"structure": "CTCM"}),
    "mtlora_dtsm": (MTLoraConfig, {"structure": "DTSM"}),
    "mtlora_mixed": (MTLoraConfig, {"mix_slices": True}),
    "mtlora_original": (MTLoraConfig, {"init": "original"}),
    "mtlora_multimodal": (MTLoraConfig, {"init": "multimodal"}),
    "aflora_scaled": (AFLoraConfig, {"aflora_alpha": 16, "freeze_from_start": ["square"]}),
    "sora_normal": (SoraConfig, {"init_gate": "normal"}),
}
LINEAR = [form for form in FORMS if form != "ina"]

SIZES = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
STOCK = {
    "gpt2": lambda: GPT2Config(**SIZES, n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "bloom": lambda: BloomConfig(**SIZES, hidden_size=32, n_layer=2, n_head=4),
    "t5": lambda: T5Config(**SIZES, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, decoder_start_token_id=0),
} | {name.removesuffix("_gi").removesuffix("_ina"): lambda name=name: tiny.stock_config(name) for name in tiny.BY_TYPE}
HEADS = {
    "gpt2": (AutoModelForCausalLM, "CAUSAL_LM"),
    "bloom": (AutoModelForCausalLM, "CAUSAL_LM"),
    "llama": (AutoModelForCausalLM, "CAUSAL_LM"),
    "t5": (AutoModelForSeq2SeqLM, "SEQ_2_SEQ_LM"),
}
# kind of layer → a family that has it, and the modules of that kind
KINDS = {
    "linear": ("bert", ["query", "value"]),
    "conv1d": ("gpt2", ["c_attn", "c_fc"]),
    "embedding": ("llama", ["embed_tokens"]),
}
# every form on a linear layer, the other layers with one form of each method and those that differ there
CASES = [(form, "linear") for form in FORMS] + [
    (form, kind) for kind in ("conv1d", "embedding") for form in (*METHODS, "ina_p0")
]
CASES += [("mtlora_mixed", "conv1d"), ("mtlora_original", "embedding")]

every_case = pytest.mark.parametrize("form,kind", CASES)
every_method = pytest.mark.parametrize("method", METHODS)
every_kind = pytest.mark.parametrize("kind", KINDS)


def head(family: str) -> tuple[type, str]:
    """The Auto class of a family and its task type."""
    return HEADS.get(family, (AutoModelForSequenceClassification, "SEQ_CLS"))


def base_model(family: str, seed: int = 0, **options) -> PreTrainedModel:
    """The same weights for the same seed."""
    torch.manual_seed(seed)
    return head(family)[0].from_config(STOCK[family](), **options).eval()


def config_of(form: str, kind: str = "linear", trained: bool = True, **fields) -> PeftConfig:
    """`trained`: B (or what starts at zero in its place) is random, so that the adapter does something."""
    family, targets = KINDS[kind]
    config, chosen = FORMS[form]
    given = {"r": 4, "target_modules": list(targets), "task_type": head(family)[1], "init_weights": not trained}
    return config(**given | chosen | fields)


def adapted(form: str, kind: str = "linear", trained: bool = True, seed: int = 0, **fields) -> PeftModel:
    """A tiny model with an adapter, in evaluation mode."""
    model = base_model(KINDS[kind][0])
    torch.manual_seed(seed)
    return get_peft_model(model, config_of(form, kind, trained, **fields)).eval()


def inputs(model: nn.Module, batch: int = 3, length: int = 7) -> dict[str, torch.Tensor]:
    given = tiny.inputs(batch, length)
    if getattr(model.config, "is_encoder_decoder", False):
        given["decoder_input_ids"] = given["input_ids"][:, :4]
    return given


def logits(model: nn.Module, **more) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs(model), **more).logits


def branches(model: nn.Module) -> dict[str, LowRankLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LowRankLayer)}


def adapter_weights(model: PeftModel, adapter: str = "default") -> dict[str, torch.Tensor]:
    """The tensors of an adapter by name."""
    prefix = model.base_model.prefix
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if prefix in name and f".{adapter}" in name and "modules_to_save" not in name
    }

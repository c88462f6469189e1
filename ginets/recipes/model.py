"""From arguments to a model that can be trained: tokenizer, checks, weights, adapter."""

import logging

import torch
from accelerate import PartialState
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    set_seed,
)

from ..extras import require
from ..hub.load import position_limit, read_weights
from ..models.freeze import freeze_base, mechanism
from .adapted import (
    MECHANISM,
    AdapterArguments,
    attach,
    check_fit,
    fit_autocast,
    head_names,
    make_config,
    trained_parts,
)
from .arguments import ArgumentsError, ModelArguments, RecipeTrainingArguments
from .heads import CAUSAL_LM, Head
from .saved_adapters import (
    SavedAdapter,
    base_arguments,
    check_start,
    check_task,
    find_adapter,
    load_adapter,
    start_from,
)


logger = logging.getLogger(__name__)


def make_model(
    model_args: ModelArguments,
    adapter_args: AdapterArguments,
    config: PreTrainedConfig,
    head: Head,
    trained: SavedAdapter | None,
    steps: int,
    seed: int,
):
    """The model with its head and its adapter; the adapter is checked before weights are read.

    Args:
        trained: the adapter that was given as the model, see `find_trained`.
        steps: optimizer steps of the run.
    """
    if model_args.quantization and not (trained or adapter_args.adapter != "none"):
        raise ArgumentsError("--quantization keeps the base frozen; it needs --adapter.")
    check_head(config, head)
    if adapter_args.mechanism_lr is not None and not has_mechanism(config, head):
        raise ArgumentsError(
            f"--mechanism_lr is {adapter_args.mechanism_lr:g}, and {spell_plain(config)}; leave it out, or give gate flags."
        )
    if trained:
        check_task(trained, head)
    adapter_config, start = make_config(adapter_args, steps, head), None
    if adapter_config:
        start = find_start(adapter_args, check_fit(adapter_config, config, head), model_args, head)
    frozen = not (trained or adapter_config or trains_base(adapter_args, config, head))
    set_seed(seed)
    model, fresh = load_model(model_args, config, head)
    if trained:
        return fit_autocast(load_adapter(model, trained))
    if adapter_config:
        model = fit_autocast(attach(model, adapter_config, fresh))
    if start:
        start_from(model, start)
    if frozen:
        for name, parameter in freeze_base(model).named_parameters():
            parameter.requires_grad |= name in fresh  # frozen, they would stay what the seed has made
    if adapter_args.mechanism_lr is not None and MECHANISM not in trained_parts(model):
        raise ArgumentsError(
            f"--mechanism_lr is {adapter_args.mechanism_lr:g}, and the gates or branches that {model_args.model_name_or_path} "
            "brings stay frozen beside an adapter; leave it out, or name them in --modules_to_save."
        )
    return model


def trains_base(adapter_args: AdapterArguments, config: PreTrainedConfig, head: Head) -> bool:
    """Whether a model without adapter is trained whole, or only its gates and branches, see `freeze_base`.

    Raises:
        ArgumentsError: `--train_base false`, and it has none.
    """
    wanted = head.train_base if adapter_args.train_base is None else adapter_args.train_base
    if wanted:
        return True
    plain = not has_mechanism(config, head)
    if plain and adapter_args.train_base is False:
        raise ArgumentsError(
            f"--train_base is false, and {spell_plain(config)}: nothing but the head would be trained; give gate flags, "
            "or --adapter."
        )
    return plain


def has_mechanism(config: PreTrainedConfig, head: Head) -> bool:
    """Whether models of this config have gates or inhibited branches."""
    with torch.device("meta"):
        return next(mechanism(head.auto.from_config(config)), None) is not None


def spell_plain(config: PreTrainedConfig) -> str:
    return f"this {config.model_type} model has neither gates nor inhibited branches"


def check_head(config: PreTrainedConfig, head: Head) -> None:
    """Check that models of this type have the head, and that one which is to write does not read ahead.

    Raises:
        ArgumentsError: they have not, or it is an encoder.
    """
    own_code = getattr(config, "auto_map", None)  # of a repository; what it has shows when it is loaded
    if not own_code and type(config) not in head.auto._model_mapping:
        raise ArgumentsError(f"{config.model_type} models have no head for {head.hub_task}; give another model.")
    encoder = type(config) in AutoModelForMaskedLM._model_mapping and not getattr(config, "is_decoder", False)
    if head is CAUSAL_LM and encoder and not config.is_encoder_decoder:
        raise ArgumentsError(
            f"this {config.model_type} model is an encoder: its tokens see the answer that they are to write; give a "
            "causal model, or one with is_decoder in its config."
        )


def find_trained(
    model_args: ModelArguments, training_args: RecipeTrainingArguments, adapter_args: AdapterArguments
) -> tuple[SavedAdapter | None, ModelArguments]:
    """The adapter that `--model_name_or_path` names, if it is one, and the arguments of its base.

    Such an adapter is only evaluated. For a complete model: None, and the arguments as they are.
    """
    adapter = find_adapter(model_args.model_name_or_path, model_args)
    if adapter and (training_args.do_train or adapter_args.adapter != "none"):
        raise ArgumentsError(
            f"{adapter.path!r} is an adapter; to train on from it give --init_adapter {adapter.path} "
            f"--adapter {adapter.method} --model_name_or_path {adapter.content['base_model_name_or_path']}."
        )
    return adapter, base_arguments(adapter, model_args) if adapter else model_args


def find_start(
    adapter_args: AdapterArguments, adapter_config, model_args: ModelArguments, head: Head
) -> SavedAdapter | None:
    """The adapter of `--init_adapter`, checked against the one of this run."""
    path = adapter_args.init_adapter
    if path is None:
        return None
    adapter = find_adapter(path, model_args)
    if adapter is None:
        raise ArgumentsError(f"--init_adapter is {path!r}, which is no adapter: there is no adapter_config.json.")
    check_start(adapter, adapter_args.adapter, adapter_config)
    check_task(adapter, head)
    return adapter


def load_tokenizer(model_args: ModelArguments, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """The tokenizer; one without a padding token (Llama, GPT-2) pads with its end token."""
    name = model_args.tokenizer_name or model_args.model_name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, use_fast=model_args.use_fast_tokenizer, **model_args.hub_options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentsError(f"no tokenizer at {name!r} ({reason}); name one with --tokenizer_name.") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ArgumentsError(f"the tokenizer {name!r} has neither a padding nor an end token; add one to its files.")
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    if len(tokenizer) > config.vocab_size:
        raise ArgumentsError(
            f"the tokenizer {name!r} has {len(tokenizer)} tokens, the model only {config.vocab_size}; "
            "name the model's own with --tokenizer_name."
        )
    return tokenizer


def longest_input(wanted: int, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> int:
    """The longest input: as many tokens as wanted, or as many as the model takes."""
    limit = position_limit(config)
    longest = min(wanted, tokenizer.model_max_length, limit or wanted)
    if longest < wanted:
        logger.warning("max_seq_length is %d; the model takes %d: longer inputs are cut.", wanted, longest)
    return longest


def load_model(model_args: ModelArguments, config: PreTrainedConfig, head: Head) -> tuple:
    """The model, and the names of its parameters that the checkpoint did not give.

    The only place where weights of a model are read, and safetensors the only format.
    """
    name = model_args.model_name_or_path
    try:
        model, found = read_weights(
            head.auto,
            name,
            config,
            dtype=model_args.dtype,
            ignore_mismatched_sizes=model_args.ignore_mismatched_sizes,
            **quantized(model_args.quantization, config, head),
            **model_args.hub_options,
        )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentsError(f"no weights at {name!r} ({reason}); they must be in safetensors files.") from error
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise ArgumentsError(
            f"the weights at {name!r} have other sizes than the config {model_args.config_name or name!r} says; "
            "give the config that belongs to them."
        ) from error
    fresh = frozenset(found["missing_keys"]) | {key for key, *_ in found["mismatched_keys"]}
    backbone = {key for key, _ in model.named_parameters() if key.startswith(f"{model.base_model_prefix}.")}
    if backbone and fresh >= backbone:
        raise ArgumentsError(
            f"of the weights at {name!r} none is one of the backbone of a {type(model).__name__}; give a model of "
            f"type {config.model_type}."
        )
    return model, fresh


def quantized(quantization: str | None, config: PreTrainedConfig, head: Head) -> dict:
    """What `from_pretrained` needs for a base of 4 or 8 bits. Heads stay as they are: they are trained."""
    if quantization is None:
        return {}
    require("bitsandbytes", extra="quant")
    with torch.device("meta"):
        model = head.auto.from_config(config)
    output = [name for name, module in model.named_modules() if module is model.get_output_embeddings()]
    common = {"llm_int8_skip_modules": [*head_names(model), *output]}
    kinds = {
        "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16},
        "int8": {"load_in_8bit": True},
    }
    place = {"device_map": {"": PartialState().local_process_index}} if torch.cuda.is_available() else {}
    return {"quantization_config": BitsAndBytesConfig(**kinds[quantization], **common), **place}

"""From adapter arguments to an adapted model: config, fit, fresh modules, start from an adapter already trained."""

import math
import re
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Literal

import torch
from transformers import PreTrainedConfig, PreTrainedModel, TrainingArguments

from ..models.freeze import mechanism
from . import adalora
from .arguments import ArgumentsError, check_range, option, switch
from .heads import Head
from .methods import METHODS, PEFT, load


ADAPTER, HEAD, MECHANISM, BODY = "adapter", "head", "mechanism", "body"
CHOICE = ("target_modules", "exclude_modules", "layers_to_transform")  # fields that choose the modules


@dataclass
class AdapterArguments:
    """Which adapter is trained, from where, and how fast. Its own fields are flags, too: `--adapter lora --help`."""

    adapter: Literal[("none", *METHODS)] = option(
        "What is trained: an adapter and the head, or with `none` the whole model.", "none"
    )
    init_adapter: str | None = option("Start from this trained adapter (its folder, or a name on the Hub).")
    adapter_lr: float | None = option("Learning rate of the adapter [default: --learning_rate].")
    train_base: bool | None = switch(
        "Models with gates or inhibited branches and no adapter: train everything, or with `false` the mechanism, the head "
        "and what the checkpoint lacks [default: everything; language models: the mechanism]."
    )
    classifier_lr: float | None = option("Learning rate of the head [default: --learning_rate].")
    mechanism_lr: float | None = option(
        "Learning rate of a model's gates or inhibited branches [default: --learning_rate]."
    )
    fields: dict = field(default_factory=dict, init=False)  # of the adapter's config, those that were given

    def __post_init__(self):
        for name in ("adapter_lr", "classifier_lr", "mechanism_lr"):
            check_range(name, getattr(self, name), 0, math.inf)
        if self.adapter == "none":
            for name in ("init_adapter", "adapter_lr"):
                if getattr(self, name) is not None:
                    raise ArgumentsError(f"--{name} needs --adapter, one of {', '.join(METHODS)}.")
        elif self.train_base is not None:
            raise ArgumentsError("--train_base is for runs without --adapter.")

    @property
    def rates(self) -> dict[str, float | None]:
        """Part of the model → its own learning rate."""
        return {ADAPTER: self.adapter_lr, HEAD: self.classifier_lr, MECHANISM: self.mechanism_lr}


def make_config(args: AdapterArguments, steps: int, head: Head):
    """The PEFT config of `--adapter`; None for `none`.

    Args:
        steps: optimizer steps of the run.

    Raises:
        ArgumentsError: a field is out of range.
    """
    if args.adapter == "none":
        return None
    check_range("r", args.fields.get("r"), 1)
    bias = args.fields.get("bias", "none")  # a free text in VeRA's config
    if bias not in ("none", "all") and not bias.endswith("_only"):
        raise ArgumentsError(f"--bias is {bias!r}; allowed: none, all, {args.adapter}_only.")
    fields = adalora.schedule(args.fields, steps) if args.adapter == "adalora" else args.fields
    try:
        return METHODS[args.adapter].config_class(**fields, task_type=head.peft_task)
    except (ValueError, TypeError) as error:
        raise ArgumentsError(f"--adapter {args.adapter}: {error}") from error


def planned_steps(args: TrainingArguments, rows: int) -> int:
    """The optimizer steps that the Trainer will take on a training set of `rows`."""
    if args.max_steps > 0:
        return args.max_steps
    batches = rows / (args.train_batch_size * args.world_size)
    batches = math.floor(batches) if args.dataloader_drop_last else math.ceil(batches)
    return math.ceil(args.num_train_epochs * max(1, math.ceil(batches / args.gradient_accumulation_steps)))


def check_fit(adapter_config, config: PreTrainedConfig, head: Head):
    """Put the adapter on a model without weights, so that what does not fit is found before weights are read.

    Returns:
        The adapter's config with the defaults of this model filled in, such as its target modules.

    Raises:
        ArgumentsError: no module of the model matches, or the method does not take what matches.
    """
    with torch.device("meta"):
        model = head.auto.from_config(config)
        return attach(model, adapter_config, low_cpu_mem_usage=True).active_peft_config


def attach(model: PreTrainedModel, adapter_config, fresh: frozenset[str] = frozenset(), **options):
    """`model` with the adapter; trained along with it: its head and what the checkpoint had no weights for.

    Args:
        fresh: names of parameters that were not in the checkpoint.

    Raises:
        ArgumentsError: the config does not fit the model.
    """
    adapter_config = deepcopy(adapter_config)
    spelt_for = load("..tuners.targets", "spelt_for")
    adapter_config.target_modules = spelt_for(model.config.model_type, adapter_config.target_modules)
    if adapter_config.modules_to_save is None:
        adapter_config.modules_to_save = modules_to_train(model, fresh)
    names = [name for name, _ in model.named_modules()]
    for wanted in adapter_config.modules_to_save:  # PEFT passes over those that it does not find
        if not any(name.endswith(wanted) for name in names):
            raise ArgumentsError(f"--modules_to_save has {wanted!r}; allowed: ends of names of the model's modules.")
    try:
        return load(PEFT, "get_peft_model")(model, adapter_config, **options)
    except (ValueError, TypeError, re.error) as error:
        chosen = {name: getattr(adapter_config, name, None) for name in CHOICE}
        named = "".join(f", --{name} {spelt(value)}" for name, value in chosen.items() if value)
        raise ArgumentsError(
            f"the adapter does not fit (model type {model.config.model_type}{named}): {error}"
        ) from error


def fit_autocast(model):
    """Under autocast, let an adapter's layers in a DeBERTa return what its projections do; returns the model.

    PEFT's VeRA returns float32, and stock DeBERTa fills its scores, which are not, with the least float32.
    """

    def cast(layer, inputs, output):
        device = output.device.type
        return output.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else output

    if model.config.model_type in ("deberta", "deberta-v2"):
        vera = load("peft.tuners.vera", "Linear")
        for module in model.modules():
            if isinstance(module, vera):
                module.register_forward_hook(cast)
    return model


def spelt(value) -> str:
    """A value of a config, short enough for a message."""
    text = " ".join(sorted(map(str, value))) if isinstance(value, set | list) else str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def modules_to_train(model: PreTrainedModel, fresh: frozenset[str]) -> list[str]:
    """Ends of names of the modules that are trained whole beside an adapter.

    All of the head, also DeBERTa's pooler, which starts at random; and whatever else is fresh, such as gates that
    begin as the identity: frozen, they would stay what they are.
    """
    heads = head_names(model)
    within = {name for name in fresh if name.startswith(f"{model.base_model_prefix}.")}
    whole = {
        name
        for name, module in model.named_modules()
        if (own := [f"{name}.{each}" for each, _ in module.named_parameters()]) and within.issuperset(own)
    }
    names = [name for name, _ in model.named_modules()]
    outermost = [name for name in whole if name.rpartition(".")[0] not in whole]
    return heads + sorted({unique_end(name, names, whole) for name in outermost})


def head_names(model: PreTrainedModel) -> list[str]:
    """Names of the modules outside the backbone. The output layer of a language model belongs to the backbone."""
    output = model.get_output_embeddings()
    return [
        name
        for name, child in model.named_children()
        if name != model.base_model_prefix and child is not output and next(child.parameters(), None) is not None
    ]


def unique_end(name: str, names: list[str], wanted: set[str]) -> str:
    """The shortest end of a dotted `name` that no unwanted one of `names` has."""
    parts = name.split(".")
    ends = (".".join(parts[-count:]) for count in range(1, len(parts) + 1))
    return next(end for end in ends if all(each in wanted for each in names if f".{each}".endswith(f".{end}")))


def part_of(name: str, model) -> str:
    """Whether a parameter belongs to the adapter, to the head (see `head_names`) or to the body."""
    base = model
    if is_adapted(model):
        shared = not name.startswith("base_model.model.")  # by all layers, as VeRA's projections are
        if shared or any(piece.startswith(model.base_model.prefix) for piece in name.split(".")):
            return ADAPTER
        base, name = model.get_base_model(), name.removeprefix("base_model.model.")
    return HEAD if name.partition(".")[0] in head_names(base) else BODY


def parts_of(model) -> dict[int, str]:
    """The id of each parameter → its part: as `part_of`, and gates and inhibited branches of the body by themselves.

    An adapter on a gate is part of the adapter.
    """
    parts = {id(parameter): part_of(name, model) for name, parameter in model.named_parameters()}
    own = (id(parameter) for module in mechanism(model) for parameter in module.parameters())
    return parts | {each: MECHANISM for each in own if parts[each] == BODY}


def trained_parts(model) -> set[str]:
    parts = parts_of(model)
    return {parts[id(parameter)] for parameter in model.parameters() if parameter.requires_grad}


def is_adapted(model) -> bool:
    """Whether it is a PEFT model. PEFT need not be installed."""
    return hasattr(model, "get_base_model")


def count_trainable(model) -> dict[str, int]:
    """Trainable parameters: all of them, and without the head, as papers count."""
    counts = {HEAD: 0, ADAPTER: 0, BODY: 0}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            counts[part_of(name, model)] += parameter.numel()
    total = sum(counts.values())
    return {"trainable_parameters": total, "trainable_parameters_without_head": total - counts[HEAD]}

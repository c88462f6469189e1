"""Adapters on disk or on the Hub: an adapter as the model to evaluate, an adapter to start from.

An adapter folder holds no config of its base model, so labels and gate flags would be lost. The recipe keeps them in
`base/config.json`: in a subfolder, because transformers takes a folder with `config.json` for a complete model.
"""

import json
import logging
import re
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path

from safetensors.torch import load_file
from transformers import PreTrainedModel

from ..hub.load import ModelSource, find_file
from .adapted import ADAPTER, part_of, spelt
from .arguments import ArgumentsError, ModelArguments
from .heads import Head
from .methods import METHODS, PEFT, load


logger = logging.getLogger(__name__)

BASE = "base"
# fields that say how training starts or goes on, not what the trained tensors mean
TRAINING_ONLY = re.compile(r"dropout|initial$|^init(_|$)|_init$|^freeze_|^fan_in_fan_out$")
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class SavedAdapter:
    """A trained adapter: where it is, and how to reach it there."""

    path: str
    options: dict  # of the Hub: revision, token, cache_dir

    def file(self, name: str) -> str | None:
        """The local path of one of its files, fetched if need be; None if there is none."""
        return find_file(self.path, name, **self.options)

    @property
    def content(self) -> dict:
        """What its `adapter_config.json` says.

        Raises:
            ArgumentsError: it is no JSON, or names neither method nor base.
        """
        try:
            content = json.loads(Path(self.file(CONFIG)).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ArgumentsError(
                f"the {CONFIG} of the adapter at {self.path!r} is not valid JSON ({error})."
            ) from error
        for name in ("peft_type", "base_model_name_or_path"):
            if not content.get(name):
                raise ArgumentsError(f"the {CONFIG} of the adapter at {self.path!r} has no {name}.")
        return content

    @property
    def method(self) -> str:
        """Its name on the command line, or that of a PEFT method that the recipe does not train."""
        return self.content["peft_type"].lower().removeprefix("ginets_")

    def read(self) -> tuple:
        """Its config and its tensors, which must be in a safetensors file.

        Raises:
            ArgumentsError: there is no such adapter, or it cannot be read.
        """
        for name in (CONFIG, WEIGHTS):
            if self.file(name) is None:
                raise ArgumentsError(f"no adapter at {self.path!r}: there is no {name}.")
        try:
            config = load(PEFT, "PeftConfig").from_pretrained(self.path, **self.options)
        except (KeyError, ValueError) as error:
            raise ArgumentsError(f"the adapter at {self.path!r} is of the unknown type {self.method!r}.") from error
        return config, load_file(self.file(WEIGHTS))


def find_adapter(path: str, model_args: ModelArguments) -> SavedAdapter | None:
    """The adapter at `path`, if there is one."""
    options = {name: model_args.hub_options[name] for name in ("cache_dir", "revision", "token")}
    adapter = SavedAdapter(path, options)
    return adapter if adapter.file(CONFIG) else None


def base_arguments(adapter: SavedAdapter, model_args: ModelArguments) -> ModelArguments:
    """Arguments for the base model of an adapter that was given as the model."""
    content, saved = adapter.content, adapter.file(f"{BASE}/config.json")
    tokenizer = adapter.path if adapter.file("tokenizer_config.json") else None
    if not saved:
        logger.warning("%s does not say which classes it was trained on: those of the data are taken.", adapter.path)
    return replace(
        model_args,
        model_name_or_path=content["base_model_name_or_path"],
        model_revision=content.get("revision") or "main",
        config_name=model_args.config_name or (str(Path(saved).parent) if saved else None),
        tokenizer_name=model_args.tokenizer_name or tokenizer,
    )


def save_base_config(model, folder: str | Path) -> None:
    """Write `base/config.json` beside an adapter: the config of the model it belongs to, with its labels and gates."""
    base = model.get_base_model()
    config = deepcopy(base.config)
    config.architectures = [type(base).__name__]
    config.save_pretrained(Path(folder) / BASE)


def load_adapter(model: PreTrainedModel, adapter: SavedAdapter):
    """`model` with a trained adapter, for evaluation.

    Raises:
        ArgumentsError: it cannot be read, or its tensors do not fit.
    """
    adapter.read()
    # PEFT's AdaLoRA adds its regulariser to every loss, and knows its adapter only if that is trainable
    trainable = adapter.method == "adalora"
    try:
        return load(PEFT, "PeftModel").from_pretrained(model, adapter.path, is_trainable=trainable, **adapter.options)
    except (RuntimeError, ValueError) as error:
        raise ArgumentsError(f"the adapter at {adapter.path!r} does not fit its base model: {error}") from error


def check_task(adapter: SavedAdapter, head: Head) -> None:
    """Check that an adapter was trained with the kind of head that is wanted: it is no use to any other.

    Raises:
        ArgumentsError: it was trained with another one, or it cannot be read.
    """
    adapter.read()
    has = ModelSource(adapter.path, None, adapter.options).saved_head
    wanted = head.auto.__name__.removeprefix("AutoModelFor")
    if has and has != wanted:
        raise ArgumentsError(f"the adapter at {adapter.path!r} was trained with a head for {has}, not for {wanted}.")


def check_start(adapter: SavedAdapter, name: str, config) -> None:
    """Check that a run with `config`, its defaults filled in, can start from a trained adapter.

    Fields that shape only the training may differ: dropout, initialisation, schedules.

    Raises:
        ArgumentsError: another method, or a field on which the meaning of the tensors depends.
    """
    trained, _ = adapter.read()
    if adapter.method != name:
        raise ArgumentsError(f"--init_adapter {adapter.path}: it is of type {adapter.method}, this run's is {name}.")
    method = METHODS[name]
    free = {f.name for f in fields(load(PEFT, "PeftConfig"))} | {"modules_to_save", *method.hidden, *method.schedule}
    for field_name in (f.name for f in fields(config) if f.name not in free and not TRAINING_ONLY.search(f.name)):
        mine, its = getattr(config, field_name), getattr(trained, field_name)
        if mine != its:
            raise ArgumentsError(
                f"--init_adapter {adapter.path}: it was trained with {field_name} = {spelt(its)}, "
                f"this run has {spelt(mine)}."
            )


def start_from(model, adapter: SavedAdapter) -> None:
    """Load a trained adapter into a freshly adapted `model`. A head of another size stays fresh.

    Raises:
        ArgumentsError: the tensors of the adapter are not those of the model.
    """
    _, tensors = adapter.read()
    mine = load(PEFT, "get_peft_model_state_dict")(model)
    own = {name for name in mine if part_of(name, model) == ADAPTER}
    its = {name for name in tensors if part_of(name, model) == ADAPTER}
    if missing := sorted(own ^ its):
        has = "the run has" if missing[0] in own else "the adapter (or checkpoint: take the end of that run) has"
        raise ArgumentsError(f"--init_adapter {adapter.path}: only {has} {missing[0]} ({len(missing)} such tensors).")
    for name in sorted(own):
        if mine[name].shape != tensors[name].shape:
            raise ArgumentsError(
                f"--init_adapter {adapter.path}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the run needs {tuple(mine[name].shape)}."
            )
    fitting = {name: tensor for name, tensor in tensors.items() if name in mine and tensor.shape == mine[name].shape}
    load(PEFT, "set_peft_model_state_dict")(model, mine | fitting)  # PEFT wants the head, too
    fresh = sorted(mine.keys() - fitting.keys())
    logger.info(
        "Started from %s: %d tensors of the adapter, %d of head and other modules; fresh: %s.",
        adapter.path, len(own), len(fitting) - len(own), ", ".join(fresh) or "none",
    )  # fmt: skip

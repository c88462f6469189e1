"""From the words of a command line to models that can be served: found, checked, loaded with their adapters."""

import logging
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch

from ..extras import require
from ..hub.load import ModelSource, find_model
from ..models.flags import GateFlags, InAFlags, is_flag
from .engine import BARE, OWN, Served
from .heads import HEADS
from .limits import Limits


logger = logging.getLogger(__name__)

FLAGS = {each.name: each.default for kind in (GateFlags, InAFlags) for each in fields(kind) if is_flag(each.name)}


def open_model(name: str, path: str, adapters: dict[str, str], limits: Limits, dtype: str = "float32") -> Served:
    """The model or live adapter at `path`, with further adapters, on the accelerator if there is one.

    Raises:
        ValueError: it cannot be loaded, has no head that is served, or an adapter does not fit.
    """
    source = find_model(path)
    if (head := source.saved_head) not in HEADS:
        raise ValueError(f"{path!r} was saved with the head {head}; served are {', '.join(HEADS)}.")
    configs = {label: fitting(find_model(folder), source).config for label, folder in adapters.items()}
    tokenizer, model = source.tokenizer(), source.model(dtype)
    for adapter, folder in adapters.items():
        model = with_adapter(model, adapter, folder)
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    return HEADS[head](name, model.eval(), tokenizer, head, limits, configs)


def fitting(adapter: ModelSource, source: ModelSource) -> ModelSource:
    """`adapter`, if it can be put on the model of `source`: for the same head, with the same gates.

    Raises:
        ValueError: it cannot.
    """
    if adapter.adapter is None:
        raise ValueError(f"{adapter.path!r} is no adapter.")
    if adapter.saved_head != source.saved_head:
        raise ValueError(
            f"the adapter {adapter.path!r} is for {adapter.saved_head}, {source.path!r} is for {source.saved_head}."
        )
    for flag, default in FLAGS.items():
        its, mine = (getattr(each.config, flag, default) for each in (adapter, source))
        if its != mine:
            raise ValueError(
                f"the adapter {adapter.path!r} was trained with {flag} = {its!r}; {source.path!r} has {mine!r}."
            )
    trained_on, served = adapter.base[0], source.base[0]
    if Path(trained_on).resolve() != Path(served).resolve():
        logger.warning("the adapter %s was trained on %s and is put on %s.", adapter.path, trained_on, served)
    return adapter


def with_adapter(model, name: str, folder: str):
    """A PEFT model that has the adapter, too."""
    peft = require("peft", extra="adapters")
    try:
        if not isinstance(model, peft.PeftModel):
            return peft.PeftModel.from_pretrained(model, folder, adapter_name=name)
        model.load_adapter(folder, name)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"the adapter at {folder!r} does not fit: {error}") from error
    return model


def read_names(arguments: Sequence[str], adapters: Sequence[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """`[NAME=]MODEL` and `[MODEL:]NAME=FOLDER` of the command line: name → path, adapters.

    Raises:
        ValueError: a name is missing, not allowed, or given twice.
    """
    models: dict[str, tuple[str, dict[str, str]]] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():  # a path that exists is never taken apart
            name, path = Path(argument).resolve().name if Path(argument).exists() else argument, argument
        add_name(models, name, (path, {}), f"{argument!r}: write NAME=MODEL")
    for argument in adapters:
        label, equals, folder = argument.partition("=")
        if not equals:
            raise ValueError(f"--adapter {argument!r} has no name; write NAME=FOLDER, or MODEL:NAME=FOLDER.")
        model, _, name = label.rpartition(":")
        if "." in name:  # PEFT makes it part of the names of modules
            raise ValueError(f"--adapter {argument!r}: the name must not have a '.'.")
        if not model and len(models) > 1:
            raise ValueError(f"--adapter {argument!r}: of which model? Write MODEL:{argument}.")
        model = model or next(iter(models))
        if model not in models:
            raise ValueError(f"--adapter {argument!r}: there is no model {model!r}; there are {', '.join(models)}.")
        if name in (BARE, OWN):  # PEFT's own
            raise ValueError(f"--adapter {argument!r}: the name must not be {name!r}.")
        add_name(models[model][1], name, folder, f"--adapter {argument!r}: write NAME=FOLDER")
    return models


def add_name(names: dict, name: str, value: object, otherwise: str) -> None:
    if not name or ":" in name or name in names:
        raise ValueError(f"{otherwise} with a name of its own, without ':'.")
    names[name] = value

"""The adapters by name, and the command-line flags of each: made from the fields of its PEFT config, not retyped.

One method is active in a run, so its fields keep their names (`--r`, `--lora_alpha`, ...). A field whose name is also
an argument of the recipe is spelt `--adapter_<field>`: `--inhibition_level` is the gate's, `--adapter_inhibition_level`
that of InA.
"""

import dataclasses
import json
import types
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, make_dataclass
from importlib import import_module
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from transformers.hf_argparser import string_to_bool

from ..extras import require
from .arguments import ArgumentsError


PEFT, OURS, HERE = "peft", "..tuners", ".adalora"
REGEX_SIGNS = set("^$*+?()[]{}|\\")


@dataclass(frozen=True)
class Method:
    """An adapter.

    Attributes:
        config: module and name of its config class.
        callback: module and name of the `TrainerCallback` that it needs; built without arguments.
        hidden: fields that have no effect in this method.
        schedule: fields that shape the training only. An adapter to start from may differ in them.
    """

    config: tuple[str, str]
    callback: tuple[str, str] | None = None
    hidden: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()

    @property
    def config_class(self) -> type:
        return load(*self.config)

    @property
    def callbacks(self) -> list:
        """New callbacks for a run."""
        return [load(*self.callback)()] if self.callback else []


def load(module: str, name: str) -> type:
    """A class of PEFT or of an adapter.

    Raises:
        ImportError: PEFT is not installed; the message names the extra that brings it.
    """
    require("peft", extra="adapters")
    return getattr(import_module(module, __package__), name)


METHODS = {
    "lora": Method((PEFT, "LoraConfig")),
    "adalora": Method(
        (PEFT, "AdaLoraConfig"),
        (HERE, "AdaLoraCallback"),
        hidden=("r", "rank_pattern", "use_dora", "loftq_config"),
        schedule=("target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step"),
    ),
    "vera": Method((PEFT, "VeraConfig")),
    "ina": Method((OURS, "InAConfig")),
    "mtlora": Method((OURS, "MTLoraConfig")),
    "aflora": Method((OURS, "AFLoraConfig"), (OURS, "AFLoraCallback")),
    "sora": Method(
        (OURS, "SoraConfig"), (OURS, "SoraCallback"), schedule=("sparse_lambda", "lambda_warmup", "gate_lr")
    ),
}


def option_fields(method: Method) -> dict[str, tuple[dataclasses.Field, Any]]:
    """The fields of a method that can be given on the command line: name → (field, type)."""
    base = {f.name for f in dataclasses.fields(load(PEFT, "PeftConfig"))}
    hints = get_type_hints(method.config_class)
    return {
        f.name: (f, hints[f.name])
        for f in dataclasses.fields(method.config_class)
        if f.init and f.name not in base and f.name not in method.hidden and flag_type(hints[f.name])
    }


def flags(method: Method, taken: Collection[str]) -> type:
    """A dataclass for the parser with one field per field of the method's config; None means "not given".

    Args:
        taken: names of the other arguments; a field of the same name gets the prefix `adapter_`.
    """
    options = []
    for name, (config_field, hint) in option_fields(method).items():
        parsed_as, extra = flag_type(hint)
        help = " ".join(str(config_field.metadata.get("help", "")).split()).replace("%", "%%")
        metadata = {"help": f"{help} [default: {default_of(config_field)}]".strip(), **extra}
        options.append((flag_name(name, taken), parsed_as, field(default=None, metadata=metadata)))
    return make_dataclass(f"{method.config[1]}Flags", options)


def flag_name(name: str, taken: Collection[str]) -> str:
    return f"adapter_{name}" if name in taken else name


def given(method: Method, parsed: Any, taken: Collection[str]) -> dict[str, Any]:
    """The fields that were written on the command line, as the config takes them.

    Raises:
        ArgumentsError: a structured value is not what its field takes.
    """
    values = {}
    for name, (_, hint) in option_fields(method).items():
        flag = flag_name(name, taken)
        value = getattr(parsed, flag)
        if isinstance(value, list):
            values[name] = structured(flag, value, hint)
        elif value in ("True", "False", "true", "false") and bool in members(hint):
            values[name] = string_to_bool(value)  # of a field that takes a name as well
        elif value is not None:
            values[name] = value
    return values


def owners(flag: str, taken: Collection[str]) -> list[str]:
    """Names of the methods that have this flag."""
    return [
        name for name, method in METHODS.items() if flag in {flag_name(each, taken) for each in option_fields(method)}
    ]


def default_of(config_field: dataclasses.Field) -> Any:
    made = config_field.default_factory
    return config_field.default if made is dataclasses.MISSING else made()


def members(hint: Any) -> list[Any]:
    """The types that a hint allows, without None."""
    union = get_origin(hint) in (Union, types.UnionType)
    return [each for each in (get_args(hint) if union else (hint,)) if each is not types.NoneType]


def flag_type(hint: Any) -> tuple[Any, dict] | None:
    """How the parser reads a field: type and further options; None for what no flag can express (nested configs)."""
    allowed = members(hint)
    origins = {get_origin(each) or each for each in allowed}
    if origins & {list, set, tuple, dict}:
        return list[str] | None, {"nargs": "+"}
    if Literal in origins:
        words = [word for each in allowed if get_origin(each) is Literal for word in get_args(each)]
        # where more than words is allowed, or a word stands for a family of words, the config checks
        plain = origins == {Literal} and not any("[" in word for word in words)
        return (Literal[tuple(words)] | None, {}) if plain else (str | None, {})
    if origins == {bool}:
        return bool | None, {"nargs": "?", "const": True}
    for scalar in (str, float, int):
        if scalar in origins:
            return scalar | None, {}
    return None


def structured(flag: str, words: Sequence[str], hint: Any) -> Any:
    """The words of a list, mapping or pattern as a value: JSON, plain words, a regular expression or one keyword."""
    allowed = members(hint)
    kinds = {get_origin(each) or each for each in allowed}
    if words[0][:1] in ("{", "["):
        text = " ".join(words)
        if not (str in kinds and words[0][0] == "["):  # a pattern may begin with a bracket
            return from_json(flag, text, tuple(kind for kind in kinds if isinstance(kind, type)))
    if kinds <= {dict}:
        raise ArgumentsError(f"""--{flag} is {" ".join(words)!r}; allowed: a mapping as JSON, e.g. '{{"name": 4}}'.""")
    if str in kinds and len(words) == 1 and (words[0] == "all-linear" or REGEX_SIGNS & set(words[0])):
        return words[0]
    items = [item for each in allowed if get_origin(each) is list for item in get_args(each)]
    return [number(flag, word) for word in words] if items == [int] else list(words)


def from_json(flag: str, text: str, kinds: tuple[type, ...]) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentsError(f"--{flag} is {text!r}, which is not valid JSON ({error}).") from error
    if not isinstance(value, kinds):
        names = " or ".join(
            {dict: "a mapping", list: "a list", int: "a number"}.get(kind, kind.__name__) for kind in kinds
        )
        raise ArgumentsError(f"--{flag} is {text!r}; allowed: {names}, as JSON.")
    return value


def number(flag: str, word: str) -> int:
    try:
        return int(word)
    except ValueError as error:
        raise ArgumentsError(f"--{flag} is {word!r}; allowed: whole numbers.") from error

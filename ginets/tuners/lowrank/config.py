"""Fields that every low-rank method has, and how they are checked."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from peft import PeftConfig
from peft.utils.peft_types import PeftType

from ..registry import type_name


def option(default, help: str, **more):
    """A config field with its help text, from which flags and docs are made."""
    source = {"default_factory": default} if callable(default) else {"default": default}
    return field(**source, metadata={"help": help, **more})


@dataclass
class LowRankConfig(PeftConfig):
    """Configuration of a branch `x → A (in → r) → … → B (r → out)`, scaled by α/r, beside each target module.

    Raises:
        ValueError: a field is out of range; the message names the field, its value and what is allowed.
    """

    method: ClassVar[str]
    # the names under which a method keeps its α and its dropout
    alpha_field: ClassVar[str] = "lora_alpha"
    dropout_field: ClassVar[str] = "lora_dropout"
    alpha_optional: ClassVar[bool] = False  # None: the branch is not scaled

    r: int = option(8, "Rank: the width of the branch.")
    target_modules: list[str] | str | None = option(
        None, "Modules to adapt: ends of names, a regular expression, or `all-linear`. Default: by model type."
    )
    exclude_modules: list[str] | str | None = option(
        None, "Modules to leave out although `target_modules` names them."
    )
    modules_to_save: list[str] | None = option(
        None, "Modules that are trained whole and saved with the adapter, e.g. a classification head."
    )
    layers_to_transform: list[int] | int | None = option(None, "Indices of the layers to adapt. Default: all.")
    layers_pattern: list[str] | str | None = option(
        None, "Name of the list of layers that `layers_to_transform` counts in, if it is no usual one."
    )
    rank_pattern: dict[str, int] = option(dict, "Other ranks for some modules: name or pattern → r.")
    alpha_pattern: dict[str, float] = option(dict, "Other α for some modules: name or pattern → α.")
    use_rslora: bool = option(False, "Scale by α/√r instead of α/r.")
    init_weights: bool = option(
        True, "Start with B = 0, so that the adapted model is the base model; no: B is random, too (for tests)."
    )

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = PeftType[type_name(self.method)]
        for name in ("target_modules", "exclude_modules"):
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                setattr(self, name, set(value))
        self.check_places()
        self.check("r", is_rank(self.r), "a whole number of at least 1")
        self.check("rank_pattern", is_pattern(self.rank_pattern, is_rank), "names with ranks of at least 1")
        self.check("alpha_pattern", is_pattern(self.alpha_pattern, is_number), "names with numbers")
        for name in ("use_rslora", "init_weights"):
            self.check(name, isinstance(getattr(self, name), bool), "true or false")
        self.check(self.dropout_field, is_number(self.dropout) and 0 <= self.dropout < 1, "0 <= dropout < 1")
        unscaled = self.alpha is None and self.alpha_optional
        self.check(self.alpha_field, unscaled or is_number(self.alpha), "a number")

    def check_places(self) -> None:
        """Check the fields that say which modules are adapted or trained."""
        for name in ("target_modules", "exclude_modules", "layers_pattern"):
            value = getattr(self, name)
            self.check(name, value is None or is_name(value) or are(is_name, value), "a name or a list of names")
        saved, layers = self.modules_to_save, self.layers_to_transform
        self.check("modules_to_save", saved is None or are(is_name, saved), "a list of names")
        self.check(
            "layers_to_transform",
            layers is None or is_index(layers) or are(is_index, layers),
            "the index of a layer, from 0, or a list of indices",
        )
        for name in ("layers_to_transform", "layers_pattern"):
            if is_name(self.target_modules) and getattr(self, name) is not None:
                self.refuse(name, "no value where target_modules is a regular expression")
        if self.layers_pattern and layers is None:
            self.refuse("layers_pattern", "no value unless layers_to_transform is given")

    @property
    def alpha(self) -> float | None:
        """α; None where the method does not scale."""
        return getattr(self, self.alpha_field)

    @property
    def dropout(self) -> float:
        """Probability of dropout on the input of the branch."""
        return getattr(self, self.dropout_field)

    def check(self, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            self.refuse(name, allowed)

    def refuse(self, name: str, allowed: str):
        raise ValueError(f"{type(self).__name__}: {name} is {getattr(self, name)!r}; allowed: {allowed}.")


def is_name(value) -> bool:
    return isinstance(value, str)


def is_whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_index(value) -> bool:
    return is_whole(value) and value >= 0


def is_rank(value) -> bool:
    return is_whole(value) and value >= 1


def is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def are(fine: Callable[[object], bool], values) -> bool:
    return isinstance(values, list | tuple | set) and all(map(fine, values))


def is_pattern(value, fine: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(map(is_name, value)) and all(map(fine, value.values()))

"""The flags that switch inhibition on in a `config.json`: fields, defaults, validation.

They are flat fields of the model configs (`BertGIConfig`, `LlamaInAConfig`, ...), so that editing a few lines of a
`config.json` is all it takes. Nothing is on unless it is written.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache

from huggingface_hub.errors import StrictDataclassError

from ..ops.gate import SCOPES


FLAG_PREFIXES = ("gi_", "inhibition_", "ina_")
SIDES = ("q", "k")
INA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class FlagError(StrictDataclassError):
    """A gate flag that cannot be used: names the flag, its value and what is allowed.

    Deliberately no `ValueError`, `TypeError`, `OSError` or `RuntimeError`: `transformers.pipeline` swallows those
    while it looks for a class and would then load the stock model. Shares its base with the errors that strict
    configs raise for a wrong type, so `except StrictDataclassError` catches both.
    """

    def __init__(self, flag: str, value: object, allowed: str):
        super().__init__(f"config flag `{flag}` is {value!r}; allowed: {allowed}.")
        self.flag, self.value, self.allowed = flag, value, allowed

    def __reduce__(self):  # so that it survives the way out of a worker process
        return type(self), (self.flag, self.value, self.allowed)


@cache
def is_flag(name: str) -> bool:
    """Whether a config key is spelt like one of ours, or nearly so (which does not mean that it exists)."""
    if name.startswith(FLAG_PREFIXES):
        return True
    known = [field.name for kind in (GateFlags, InAFlags) for field in fields(kind)]
    return bool(get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.9))


@dataclass(kw_only=True)
class InhibitionFlags:
    """Flags that every family has. A mixin for strict configs, placed before the stock config class.

    Attributes:
        gi_query_side, gi_key_side: put the mechanism on the query / key projection.
        inhibition_level: p in [0, 1), the share of the maximum that is subtracted (giMLP, arXiv 2208.00929).
        gi_layer_num: the mechanism sits in the last `gi_layer_num` layers; `None` means all of them.
        inhibition_scope: what the maximum runs over. `"token"`: the features of one token. `"batch"`: the whole
            tensor, padding included, as the original code had it; it couples examples and looks into the future, so
            causal models refuse it.
    """

    gi_query_side: bool = False
    gi_key_side: bool = False
    inhibition_level: float | int = 0.3
    gi_layer_num: int | None = None
    inhibition_scope: str = "token"

    @property
    def inhibited_layers(self) -> range:
        """Indices of the layers that carry the mechanism: exactly the last `gi_layer_num`."""
        count = self.num_hidden_layers if self.gi_layer_num is None else self.gi_layer_num
        return range(self.num_hidden_layers - count, self.num_hidden_layers)

    @property
    def inhibited_sides(self) -> tuple[str, ...]:
        """Which of `"q"`, `"k"` are on."""
        return tuple(side for side, on in zip(SIDES, (self.gi_query_side, self.gi_key_side), strict=True) if on)

    @property
    def runs_causally(self) -> bool:
        """Whether tokens must not see later ones."""
        return getattr(self, "is_decoder", False)

    def __setattr__(self, name, value):
        """Refuses unknown flags and re-validates flags that are changed after construction."""
        known = type(self).__dataclass_fields__
        if is_flag(name) and name not in known:
            raise FlagError(name, value, _suggest(name, filter(is_flag, known)))
        checked = (is_flag(name) or name in ("is_decoder", "num_hidden_layers")) and "_post_init_done" in self.__dict__
        previous = self.__dict__.get(name)
        super().__setattr__(name, value)
        if checked:
            try:
                self.validate_inhibition()
            except FlagError:
                self.__dict__[name] = previous
                raise

    def validate_inhibition(self):
        """Raises `FlagError` for the first flag that cannot be used. Run by the strict config."""
        layers = self.num_hidden_layers
        for flag, valid, allowed in (
            ("inhibition_level", 0 <= self.inhibition_level < 1, "a number p with 0 <= p < 1"),
            (
                "gi_layer_num",
                self.gi_layer_num is None or 0 <= self.gi_layer_num <= layers,
                f"an integer from 0 to {layers} (`num_hidden_layers`), or null for all layers",
            ),
            ("inhibition_scope", self.inhibition_scope in SCOPES, " or ".join(map(repr, SCOPES))),
            (
                "inhibition_scope",
                self.inhibition_scope == "token" or not self.runs_causally,
                "'token' in a decoder: a maximum over the batch looks at later tokens and at other examples",
            ),
        ):
            if not valid:
                raise FlagError(flag, getattr(self, flag), allowed)


@dataclass(kw_only=True)
class GateFlags(InhibitionFlags):
    """Flags of the multiplicative gate (GI).

    Attributes:
        gi_rank: hidden width of the gate's two-layer map; `None` is the full width of the original.
    """

    gi_rank: int | None = None

    def validate_inhibition(self):
        super().validate_inhibition()
        if self.gi_rank is not None and self.gi_rank < 1:
            raise FlagError("gi_rank", self.gi_rank, "an integer of at least 1, or null for the full width")


@dataclass(kw_only=True)
class InAFlags(InhibitionFlags):
    """Flags of the inhibited low-rank branch (InA, Neural Networks 178:106410).

    Attributes:
        ina_rank: r, the width of the branch.
        ina_alpha: the branch is scaled by `ina_alpha / ina_rank`.
        ina_dropout: dropout on the input of the branch.
        ina_target_modules: the projections that get a branch. `None`: `q_proj` / `k_proj` as the sides say;
            a list names them exactly and overrides the sides.
    """

    ina_rank: int = 8
    ina_alpha: float | int = 16
    ina_dropout: float | int = 0.0
    ina_target_modules: list[str] | None = None

    @property
    def runs_causally(self) -> bool:
        return True

    @property
    def inhibited_projections(self) -> tuple[str, ...]:
        """Names of the projections that carry a branch."""
        if self.ina_target_modules is None:
            return tuple(f"{side}_proj" for side in self.inhibited_sides)
        return tuple(self.ina_target_modules)

    def validate_inhibition(self):
        super().validate_inhibition()
        names = self.ina_target_modules
        for flag, valid, allowed in (
            ("ina_rank", self.ina_rank >= 1, "an integer of at least 1"),
            ("ina_alpha", 0 < self.ina_alpha < float("inf"), "a finite number above 0"),
            ("ina_dropout", 0 <= self.ina_dropout < 1, "a number from 0 to below 1"),
            (
                "ina_target_modules",
                names is None or (names and set(names) <= set(INA_TARGETS) and len(set(names)) == len(names)),
                f"null, or a list of distinct names out of {', '.join(INA_TARGETS)}",
            ),
        ):
            if not valid:
                raise FlagError(flag, getattr(self, flag), allowed)


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(name, known, n=1)
    return ", ".join(known) + (f" (did you mean `{close[0]}`?)" if close else "")


def flag_names(flags: type[InhibitionFlags]) -> list[str]:
    """The flags that a config class (or flag mixin) knows, in order of definition."""
    return [field.name for field in fields(flags) if is_flag(field.name)]

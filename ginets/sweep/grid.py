"""What a sweep runs: a YAML file → cells, one for each point of its grid and each seed."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from ..recipes.commands import COMMANDS
from ..recipes.recipe_files import OVERRIDE, ArgumentsError, as_words, cookbook, parse_value, read, recipe_path


TEXT, MAPPING, LIST, SWITCH = "a text", "a mapping", "a list with at least one entry", "true or false"
# field → what it has to be, and its value if it is not given (`...`: it has to be)
FIELDS: dict[str, tuple[str, Any]] = {
    "command": (TEXT, ...),
    "output_dir": (TEXT, ...),
    "arguments": (MAPPING, {}),
    "places": (MAPPING, {}),
    "grid": (MAPPING, {}),
    "exclude": (LIST, []),
    "seeds": (LIST, ...),
    "metrics": (LIST, []),
    "keep_runs": (SWITCH, True),
    "slurm": (MAPPING, {}),
    "ray": (MAPPING, {}),
}
CHECKS = {
    TEXT: lambda value: isinstance(value, str) and value != "",
    MAPPING: lambda value: isinstance(value, dict) and all(isinstance(name, str) for name in value),
    LIST: lambda value: isinstance(value, list) and value != [],
    SWITCH: lambda value: isinstance(value, bool),
}
OWN = {"seed": "it is given by `seeds`", "output_dir": "each cell has one of its own, in that of the sweep"}

LONGEST = 150  # letters of a label: file names may have 255
FRACTION = re.compile(r"[+-]?(?=.*[.eE])(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # a number with a point or an exponent


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        command: words after `ginets`.
        variant: axis of the grid → name of the value.
        seed: its seed.
        arguments: those that decide the result, the seed among them.
        places: those that say where things lie.
    """

    command: str
    variant: Mapping[str, str]
    seed: int
    arguments: Mapping[str, Any]
    places: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """A hash of what decides the result: of command and arguments, in any order, but not of places or names."""
        definition = [self.command, *map(canonical, as_words(dict(sorted(self.arguments.items()))))]
        return hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:12]

    @cached_property
    def label(self) -> str:
        """For people: the values of the variant and the seed."""
        return re.sub(r"[^\w.+-]+", "_", "-".join([*self.variant.values(), f"seed{self.seed}"]))[-LONGEST:]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.label}-{self.key}"

    def words(self) -> list[str]:
        """The arguments as command-line words, all but the output folder."""
        return as_words({**self.places, **self.arguments})


def canonical(word: str) -> str:
    """A number in one spelling: `1e-3`, a text to YAML, and `0.0010` on the command line are 0.001."""
    return repr(float(word)) if FRACTION.fullmatch(word) else word


@dataclass(frozen=True)
class Sweep:
    """A grid and how it is run; the fields are those of the file, see `docs/sweep.md`."""

    command: str
    output_dir: Path
    cells: list[Cell]
    metrics: list[str]
    keep_runs: bool
    slurm: dict[str, Any]
    ray: dict[str, Any]


def load(path: str | Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep.

    Args:
        path: the file, or the name of one that comes with the package, e.g. `mrpc_adapters`.
        overrides: words `name=value`: a field of the file that is a text, or else a place or a common argument.

    Raises:
        ArgumentsError: it cannot be used; the message names the field, its value and what is allowed.
    """
    content = read(find(path))
    if unknown := sorted(content.keys() - FIELDS.keys()):
        raise ArgumentsError(f"{path}: {unknown[0]!r} is no field of a sweep; allowed: {', '.join(FIELDS)}.")
    try:
        checked = {name: check_field(name, content) for name in FIELDS}
        override(checked, overrides)
        return build(checked)
    except ArgumentsError as error:
        raise ArgumentsError(f"{path}: {error}") from error


def find(path: str | Path) -> Path:
    """The file of a sweep, or the one in the package of that name."""
    own = cookbook() / "sweeps" / f"{path}.yaml"
    return own if not Path(path).exists() and own.is_file() else Path(path)


def check_field(name: str, content: dict[str, Any]) -> Any:
    """The value of a field, or its default."""
    kind, default = FIELDS[name]
    value = content.get(name)
    if value is None:
        if default is ...:
            raise ArgumentsError(f"`{name}` is missing; it is {kind}.")
        return default
    if not CHECKS[kind](value):
        raise ArgumentsError(f"`{name}` is {value!r}; allowed: {kind}.")
    return value


def override(content: dict[str, Any], words: Sequence[str]) -> None:
    """Put the values of words `name=value` in place."""
    for word in words:
        match = OVERRIDE.fullmatch(word)
        if not match:
            raise ArgumentsError(f"{word!r} is no override; allowed: name=value.")
        name, value = match[1], parse_value(match[2])
        kind = FIELDS.get(name, ("", None))[0]
        if kind == TEXT:
            content[name] = value
        elif kind:
            raise ArgumentsError(f"{word!r}: `{name}` is {kind}; allowed here: fields that are a text, or arguments.")
        elif axis := next((axis for axis, values in content["grid"].items() if sets(axis, values, name)), None):
            raise ArgumentsError(f"{word!r}: `grid.{axis}` gives {name}, and would replace it; change it in the file.")
        else:
            part = "places" if name in content["places"] else "arguments"
            content[part] = content[part] | {name: value}


def sets(axis: str, values: Any, name: str) -> bool:
    """Whether an axis of the grid gives an argument."""
    if isinstance(values, dict):
        return any(isinstance(each, dict) and name in each for each in values.values())
    return axis == name


def build(content: dict[str, Any]) -> Sweep:
    """The cells: every combination of the grid but those excluded, with every seed."""
    command = content["command"]
    if command not in COMMANDS:
        raise ArgumentsError(f"`command` is {command!r}; allowed: {', '.join(COMMANDS)}.")
    seeds = content["seeds"]
    if any(not isinstance(seed, int) or isinstance(seed, bool) for seed in seeds) or len(set(seeds)) < len(seeds):
        raise ArgumentsError(f"`seeds` is {seeds!r}; allowed: whole numbers, each once.")
    for part in ("arguments", "places"):
        check_names(part, content[part])
    if both := sorted(content["arguments"].keys() & content["places"].keys()):
        raise ArgumentsError(f"`arguments` and `places` have {both[0]}, both; allowed: one of them.")
    axes = {axis: values_of(axis, values) for axis, values in content["grid"].items()}
    excluded = [check_excluded(each, axes) for each in content["exclude"]]
    cells: dict[str, Cell] = {}
    for variant in map(dict, product(*([(axis, name) for name in values] for axis, values in axes.items()))):
        if any(each.items() <= variant.items() for each in excluded):
            continue
        arguments = from_recipe(command, content["arguments"] | combine(variant, axes))
        for seed in seeds:
            cell = Cell(command, variant, seed, arguments | {"seed": seed}, content["places"])
            other = cells.setdefault(cell.key, cell)
            if other is not cell:
                raise ArgumentsError(
                    f"`grid`: {cell.label} and {other.label} are the same run; each combination has to differ."
                )
    if not cells:
        raise ArgumentsError("`exclude` leaves no cell of the grid.")
    own = {name: content[name] for name in ("metrics", "keep_runs", "slurm", "ray")}
    return Sweep(command, Path(content["output_dir"]), list(cells.values()), **own)


def check_names(part: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the sweep gives itself."""
    for name in arguments.keys() & OWN.keys():
        raise ArgumentsError(f"`{part}` has {name} = {arguments[name]!r}; leave it out: {OWN[name]}.")


def values_of(axis: str, values: Any) -> dict[str, dict[str, Any]]:
    """Name of a value → its arguments. A list gives the values of one argument, a mapping names sets of arguments."""
    if isinstance(values, list) and values and not any(isinstance(value, dict) for value in values):
        named = {" ".join(as_words({axis: value})[1:]) or "default": {axis: value} for value in values}
        if len(named) < len(values):
            raise ArgumentsError(f"`grid.{axis}` is {values!r}; allowed: each value once.")
    elif isinstance(values, dict) and values:
        named = {str(name): {} if arguments is None else arguments for name, arguments in values.items()}
    else:
        raise ArgumentsError(
            f"`grid.{axis}` is {values!r}; allowed: a list of values of the argument {axis}, or a mapping of names to "
            "arguments."
        )
    for name, arguments in named.items():
        if not CHECKS[MAPPING](arguments):
            raise ArgumentsError(f"`grid.{axis}.{name}` is {arguments!r}; allowed: a mapping of arguments to values.")
        check_names(f"grid.{axis}", arguments)
    return named


def check_excluded(entry: Any, axes: Mapping[str, Mapping]) -> dict[str, str]:
    """An entry of `exclude`: axis → name of the value."""
    if not isinstance(entry, dict) or not entry:
        raise ArgumentsError(f"`exclude` has {entry!r}; allowed: mappings of axes to names of values.")
    entry = {axis: str(name) for axis, name in entry.items()}
    for axis, name in entry.items():
        if name not in axes.get(axis, ()):
            known = f"those of {axis}: {', '.join(axes[axis])}" if axis in axes else f"the axes {', '.join(axes)}"
            raise ArgumentsError(f"`exclude` has {axis} = {name!r}; allowed: {known}.")
    return entry


def combine(variant: Mapping[str, str], axes: Mapping[str, Mapping[str, Mapping]]) -> dict[str, Any]:
    """The arguments of a variant; no argument may have two axes."""
    combined: dict[str, Any] = {}
    for axis, name in variant.items():
        if both := sorted(combined.keys() & axes[axis][name].keys()):
            raise ArgumentsError(f"`grid.{axis}.{name}` sets {both[0]}, which another axis sets, too; allowed: one.")
        combined |= axes[axis][name]
    return combined


def from_recipe(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """With the values of a recipe, if one is named, in its place: a changed recipe is another run."""
    name = arguments.get("recipe")
    if name is None:
        return arguments
    rest = {each: value for each, value in arguments.items() if each != "recipe"}
    return read(recipe_path(name, COMMANDS[command].recipes)) | rest

"""What a leaderboard compares: a YAML file → the cells of its tuning and of its tasks."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from ..data.glue import TASKS as GLUE
from ..recipes.commands import COMMANDS
from ..recipes.recipe_files import ArgumentsError, read
from ..sweep.grid import Cell, Sweep, build


FIELDS = ("title", "places", "arguments", "seeds", "baselines", "tuning", "tasks", "methods")
OPTIONAL = ("folders",)
NAME = re.compile(r"[\w.+-]+")


@dataclass(frozen=True)
class Task:
    """What methods are scored on.

    Attributes:
        command: what stands after `ginets`.
        metric: the score, without `eval_`; higher is better.
        arguments: of this task, beside the common ones.
        places: where its data lies.
        scale: what a score is multiplied by in the report, to be a percentage.
    """

    name: str
    command: str
    metric: str
    arguments: Mapping[str, Any]
    places: Mapping[str, str]
    scale: float = 100


@dataclass(frozen=True)
class Method:
    """What is compared: arguments, and the learning rates that are tried for it. `note`: what a reader has to know."""

    name: str
    arguments: Mapping[str, Any]
    rates: Sequence[float]
    note: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """A protocol; `docs/leaderboard.md` says what the fields mean. `selected`: the tasks that are run and reported."""

    title: str
    places: Mapping[str, Any]
    arguments: Mapping[str, Any]
    seeds: Sequence[int]
    baselines: Sequence[str]
    tuning_task: str
    tuning_seeds: Sequence[int]
    tuning_arguments: Mapping[str, Any]
    tasks: Mapping[str, Task]
    methods: Mapping[str, Method]
    selected: Sequence[str]

    def tuning(self, folder: Path) -> Sweep:
        """The cells that choose learning rates: each method at each of its rates."""
        task = self.tasks[self.tuning_task]
        sweeps = [
            self.sweep(folder, task, {name: dict(method.arguments)}, self.tuning_seeds, list(method.rates))
            for name, method in self.methods.items()
        ]
        return replace(sweeps[0], cells=[cell for sweep in sweeps for cell in sweep.cells])

    def task(self, folder: Path, name: str, rates: Mapping[str, float]) -> Sweep:
        """The cells of a task, seed by seed; `rates`: method → its learning rate."""
        methods = {
            each: dict(method.arguments) | {"learning_rate": rates[each]} for each, method in self.methods.items()
        }
        sweep = self.sweep(folder, self.tasks[name], methods, self.seeds)
        return replace(sweep, cells=sorted(sweep.cells, key=lambda cell: self.seeds.index(cell.seed)))

    def sweep(
        self,
        folder: Path,
        task: Task,
        methods: dict[str, dict],
        seeds: Sequence[int],
        rates: list[float] | None = None,
    ) -> Sweep:
        """A sweep of methods on a task; with `rates` it is part of the tuning."""
        return build({
            "command": task.command,
            "output_dir": str(folder),
            "arguments": {**self.arguments, **task.arguments, **(self.tuning_arguments if rates else {})},
            "places": {**self.places, **task.places},
            "grid": {"method": methods, "task": {task.name: {}}} | ({"learning_rate": rates} if rates else {}),
            "exclude": [],
            "seeds": list(seeds),
            "metrics": [],
            "keep_runs": False,
            "slurm": {},
            "ray": {},
        })  # fmt: skip


def load(path: str | Path, places: Mapping[str, Any] | None = None, tasks: Sequence[str] | None = None) -> Leaderboard:
    """Read a protocol.

    Args:
        places: where model and data lie, instead of what the file says.
        tasks: these only: of the file, of GLUE, or `NAME=TRAIN,VALIDATION`, two files.

    Raises:
        ArgumentsError: it cannot be used; the message names the field, its value and what is allowed.
    """
    content = read(Path(path))
    try:
        return parse(content, places or {}, tasks)
    except ArgumentsError as error:
        raise ArgumentsError(f"{path}: {error}") from error


def parse(content: Mapping[str, Any], places: Mapping[str, Any], chosen: Sequence[str] | None) -> Leaderboard:
    """The leaderboard that the content of a file describes."""
    known(content, (*FIELDS, *OPTIONAL), "")
    for name in FIELDS:
        if name not in content:
            raise ArgumentsError(f"`{name}` is missing.")
    content = {"folders": {}, **content}
    for name in ("places", "folders", "arguments", "tuning", "tasks", "methods"):
        mapping(content[name], f"`{name}`")
    if unknown := sorted(places.keys() - content["places"].keys() - content["folders"].keys()):
        allowed = ", ".join([*content["places"], *content["folders"]])
        raise ArgumentsError(f"{unknown[0]!r} is no place; allowed: {allowed}.")
    places, folders = (
        {name: places.get(name, value) for name, value in content[part].items()} for part in ("places", "folders")
    )
    listed = {str(name): each for name, each in content["tasks"].items()}
    own = dict(asked_for(word, listed) for word in chosen or ())
    tasks = {name: read_task(name, each, folders) for name, each in (listed | own).items()}
    methods = {str(name): read_method(str(name), each) for name, each in content["methods"].items()}
    counts = {name: len(method.rates) for name, method in methods.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentsError(f"`rates` of the methods have different lengths ({counts}); allowed: the same for all.")
    known(content["tuning"], ("task", "seeds", "arguments"), "tuning.")
    tuning = {"seeds": None, "arguments": {}} | content["tuning"]
    if tuning.get("task") not in tasks:
        raise ArgumentsError(f"`tuning.task` is {tuning.get('task')!r}; allowed: {', '.join(tasks)}.")
    mapping(tuning["arguments"], "`tuning.arguments`")
    for name in content["baselines"]:
        if name not in methods:
            raise ArgumentsError(f"`baselines` has {name!r}; allowed: {', '.join(methods)}.")
    seeds, tuning_seeds = whole(content["seeds"], "seeds"), whole(tuning["seeds"], "tuning.seeds")
    if both := sorted(set(seeds) & set(tuning_seeds)):
        raise ArgumentsError(f"`tuning.seeds` has {both[0]}, which is reported; allowed: seeds that are not.")
    return Leaderboard(
        title=str(content["title"]), places=places, arguments=content["arguments"],
        seeds=seeds, baselines=content["baselines"], tuning_task=tuning["task"], tuning_seeds=tuning_seeds,
        tuning_arguments=tuning["arguments"], tasks=tasks, methods=methods, selected=list(own or tasks),
    )  # fmt: skip


def asked_for(word: str, tasks: Mapping[str, Any]) -> tuple[str, Any]:
    """Name and content of a task that is asked for by a word; what the file does not list, GLUE may."""
    name, given, files = word.partition("=")
    train, _, validation = files.partition(",")
    if not given and name in tasks:
        return name, tasks[name]
    if not given and name in GLUE:
        about = {"command": "glue", "metric": GLUE[name].metrics[0], "arguments": {"task_name": name}}
        return name, about | {"places": {"glue_dir": "{glue}"}}
    if not (name and train and validation) or name in tasks:
        allowed = ", ".join(dict.fromkeys((*tasks, *GLUE)))
        raise ArgumentsError(f"--tasks has {word!r}; allowed: {allowed}, or NEW_NAME=TRAIN_FILE,VALIDATION_FILE.")
    places = {"train_file": train, "validation_file": validation}
    return name, {"command": "glue", "metric": "accuracy", "places": places}


def read_task(name: str, content: Any, folders: Mapping[str, str]) -> Task:
    where = f"tasks.{name}"
    known(mapping(content, f"`{where}`"), ("command", "metric", "arguments", "places", "scale"), f"{where}.")
    check_name(name, "tasks")
    if content.get("command") not in COMMANDS:
        raise ArgumentsError(f"`{where}.command` is {content.get('command')!r}; allowed: {', '.join(COMMANDS)}.")
    if not isinstance(content.get("metric"), str):
        raise ArgumentsError(f"`{where}.metric` is {content.get('metric')!r}; allowed: the name of a figure.")
    scale = content.get("scale", 100)
    if not positive(scale):
        raise ArgumentsError(f"`{where}.scale` is {scale!r}; allowed: a number above 0.")
    arguments = mapping(content.get("arguments") or {}, f"`{where}.arguments`")
    places = mapping(content.get("places") or {}, f"`{where}.places`")
    places = {place: fill(text, folders, f"{where}.places.{place}") for place, text in places.items()}
    return Task(name, content["command"], content["metric"], arguments, places, scale)


def fill(text: Any, folders: Mapping[str, str], where: str) -> str:
    """A place of a task; `{name}` stands for a folder of the leaderboard."""
    try:
        return str(text).format_map(folders)
    except (LookupError, ValueError, AttributeError) as error:
        raise ArgumentsError(
            f"`{where}` is {text!r}; allowed in braces: {', '.join(folders) or 'nothing'}."
        ) from error


def read_method(name: str, content: Any) -> Method:
    where = f"methods.{name}"
    known(mapping(content, f"`{where}`"), ("rates", "arguments", "note"), f"{where}.")
    check_name(name, "methods")
    rates = content.get("rates")
    if not isinstance(rates, list) or not rates or not all(map(positive, rates)) or rates != sorted(rates):
        raise ArgumentsError(f"`{where}.rates` is {rates!r}; allowed: learning rates above 0, the smallest first.")
    arguments = mapping(content.get("arguments") or {}, f"`{where}.arguments`")
    if "learning_rate" in arguments:
        raise ArgumentsError(f"`{where}.arguments` has learning_rate; leave it out: it is chosen from `rates`.")
    return Method(name, arguments, rates, str(content.get("note") or ""))


def positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value > 0


def check_name(name: str, field: str) -> None:
    if not NAME.fullmatch(name):
        raise ArgumentsError(f"`{field}` has {name!r}; allowed in names: letters, digits, . + - _")


def known(content: Mapping[str, Any], allowed: Sequence[str], where: str) -> None:
    """Refuse fields that do not exist."""
    if unknown := sorted(set(content) - set(allowed)):
        raise ArgumentsError(f"{where}{unknown[0]} is no field; allowed: {', '.join(allowed)}.")


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ArgumentsError(f"{where} is {value!r}; allowed: a mapping.")
    return value


def whole(value: Any, where: str) -> list[int]:
    """A list of different whole numbers."""
    good = isinstance(value, list) and value and all(isinstance(each, int) for each in value)
    if not good or len(set(value)) < len(value):
        raise ArgumentsError(f"`{where}` is {value!r}; allowed: whole numbers, each once.")
    return value


def best_rates(leaderboard: Leaderboard, records: Sequence[tuple[Cell, dict]]) -> dict[str, float]:
    """Method → the learning rate of the highest mean score in the tuning.

    Equal scores, such as those of runs that give every row the same answer, are told apart by the loss where all have
    one, and then the smallest rate is taken. A score or a loss that is no number (a run that diverged) is the worst.

    Args:
        records: cells of the tuning with what they gave.

    Raises:
        ArgumentsError: a cell is not there yet.
    """
    merits: dict[str, dict[float, list[tuple[float, float]]]] = {}
    metric = leaderboard.tasks[leaderboard.tuning_task].metric
    for cell, record in records:
        rates = merits.setdefault(cell.variant["method"], {})
        found = score(record, metric), -float(record["figures"].get("eval_loss", 0))
        rates.setdefault(cell.arguments["learning_rate"], []).append(
            tuple(value if isfinite(value) else float("-inf") for value in found)
        )
    chosen = {}
    for name, method in leaderboard.methods.items():
        found = merits.get(name, {})
        if any(len(found.get(rate, ())) < len(leaderboard.tuning_seeds) for rate in method.rates):
            raise ArgumentsError(f"the tuning of {name} is not finished; `ginets bench run` goes on with it.")
        chosen[name] = max(method.rates, key=lambda rate: tuple(map(sum, zip(*found[rate], strict=True))))
    return chosen


def score(record: Mapping[str, Any], metric: str) -> float:
    """The score of a cell."""
    value = record["figures"].get(f"eval_{metric}")
    if value is None:
        raise ArgumentsError(f"cell {record['key']} has no figure eval_{metric}.")
    return float(value)

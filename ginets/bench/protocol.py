"""The file of a protocol: read and checked → a `Leaderboard`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from ..data.glue import TASKS as GLUE
from ..metrics.glue import METRICS
from ..recipes.question_answering import FIGURES as SQUAD
from ..recipes.recipe_files import ArgumentsError, read
from ..sweep.grid import Cell
from .definition import BASE, Leaderboard, Method, Task


FIELDS = ("title", "places", "arguments", "seeds", "baselines", "tuning", "tasks", "methods")
OPTIONAL = ("folders",)
SCALES = {"glue": 100, "squad": 1}  # commands whose scores are better the higher, and what makes percentages of them
NAME = re.compile(r"[\w.+-]+")


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
    if BASE not in content["places"]:
        raise ArgumentsError(f"`places.{BASE}` is missing.")
    if unknown := sorted(places.keys() - content["places"].keys() - content["folders"].keys()):
        allowed = ", ".join([*content["places"], *content["folders"]])
        raise ArgumentsError(f"{unknown[0]!r} is no place; allowed: {allowed}.")
    places, folders = (
        {name: places.get(name, value) for name, value in content[part].items()} for part in ("places", "folders")
    )
    listed = {str(name): each for name, each in content["tasks"].items()}
    asked = dict(asked_for(word, listed) for word in chosen or ())
    tasks = {name: read_task(name, each, folders) for name, each in (listed | asked).items()}
    methods = {str(name): read_method(str(name), each) for name, each in content["methods"].items()}
    check_different(tasks, "tasks", "another `run_name` among its arguments")
    check_different(methods, "methods", "other arguments")
    counts = {name: len(method.rates) for name, method in methods.items()}
    if len(set(counts.values())) > 1:
        raise ArgumentsError(f"`rates` of the methods have different lengths ({counts}); allowed: the same for all.")
    known(content["tuning"], ("task", "seeds", "arguments"), "tuning.")
    tuning = {"seeds": None, "arguments": {}} | content["tuning"]
    if tuning.get("task") not in tasks:
        raise ArgumentsError(f"`tuning.task` is {tuning.get('task')!r}; allowed: {', '.join(tasks)}.")
    mapping(tuning["arguments"], "`tuning.arguments`")
    if not content["baselines"] or not isinstance(content["baselines"], list):
        raise ArgumentsError(f"`baselines` is {content['baselines']!r}; allowed: a list of {', '.join(methods)}.")
    for name in content["baselines"]:
        if name not in methods:
            raise ArgumentsError(f"`baselines` has {name!r}; allowed: {', '.join(methods)}.")
    seeds, tuning_seeds = whole(content["seeds"], "seeds"), whole(tuning["seeds"], "tuning.seeds")
    if both := sorted(set(seeds) & set(tuning_seeds)):
        raise ArgumentsError(f"`tuning.seeds` has {both[0]}, which is reported; allowed: seeds that are not.")
    return Leaderboard(
        title=str(content["title"]), places=places, arguments=content["arguments"],
        seeds=seeds, baselines=content["baselines"], tuning_task=tuning["task"], tuning_seeds=tuning_seeds,
        tuning_arguments=tuning["arguments"], tasks=tasks, methods=methods, selected=list(asked or tasks),
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
    arguments = {"run_name": name}  # it makes no difference to a run, but it makes another key
    places = {"train_file": train, "validation_file": validation}
    return name, {"command": "glue", "metric": "accuracy", "arguments": arguments, "places": places}


def read_task(name: str, content: Any, folders: Mapping[str, str]) -> Task:
    where = f"tasks.{name}"
    known(mapping(content, f"`{where}`"), ("command", "metric", "arguments", "places", "scale"), f"{where}.")
    check_name(name, "tasks")
    if content.get("command") not in SCALES:
        raise ArgumentsError(f"`{where}.command` is {content.get('command')!r}; allowed: {', '.join(SCALES)}.")
    arguments = mapping(content.get("arguments") or {}, f"`{where}.arguments`")
    check_metric(content["command"], arguments.get("task_name"), content.get("metric"), f"`{where}.metric`")
    scale = content.get("scale", SCALES[content["command"]])
    if not positive(scale):
        raise ArgumentsError(f"`{where}.scale` is {scale!r}; allowed: a number above 0.")
    places = mapping(content.get("places") or {}, f"`{where}.places`")
    places = {place: fill(text, folders, f"{where}.places.{place}") for place, text in places.items()}
    return Task(name, content["command"], content["metric"], arguments, places, scale)


def check_metric(command: str, glue_task: str | None, metric: Any, where: str) -> None:
    """Refuse a metric that runs will not have: hours later it would be missing."""
    if command == "squad":
        figures = [*dict.fromkeys((*SQUAD[False], *SQUAD[True]))]
    else:
        figures = figures_of(GLUE[glue_task].metrics if glue_task in GLUE else METRICS)
    if metric not in figures:
        raise ArgumentsError(f"{where} is {metric!r}; allowed: {', '.join(figures)}.")


def figures_of(metrics: Iterable[str]) -> list[str]:
    """What runs of `ginets glue` have to be scored by."""
    figures = [*metrics]
    return figures + ["combined_score"] * (len(figures) > 1)


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


def check_different(parts: Mapping[str, Task | Method], where: str, allowed: str) -> None:
    """Runs are known by their arguments: what has those of another would be taken for it."""
    seen: dict[str, str] = {}
    for name, part in parts.items():
        key = Cell(getattr(part, "command", ""), {}, 0, part.arguments).key
        if key in seen:
            raise ArgumentsError(f"`{where}.{name}` has the arguments of {seen[key]}; allowed: {allowed}.")
        seen[key] = name


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

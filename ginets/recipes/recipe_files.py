"""Files of arguments as command-line words: one of the user's own, or one of the recipes that come with the package.

The recipes are `recipes/<benchmark>/<method>/<task>.yaml`, installed as the data package `ginets.cookbook`.
"""

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..extras import require


OVERRIDE = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


class ArgumentsError(ValueError):
    """Arguments that cannot be used; one sentence: what, where, what is allowed."""


@cache
def cookbook() -> Path:
    """The folder of the recipes: the installed data package, or `recipes/` of a plain checkout."""
    spec = find_spec("ginets.cookbook")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "recipes"


def list_recipes(benchmark: str = "glue") -> list[str]:
    """Names of the recipes of a benchmark (a folder of the cookbook), e.g. `aflora/mrpc`, sorted."""
    folder = cookbook() / benchmark
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("*/*.yaml"))


def recipe_path(name: str, benchmark: str = "glue") -> Path:
    """The file of a recipe.

    Raises:
        ArgumentsError: there is no recipe of this name; the message lists those that there are.
    """
    known = list_recipes(benchmark)
    if name not in known:
        close = get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}? All: " if close else "allowed: "
        raise ArgumentsError(f"--recipe is {name!r}; {hint}{', '.join(known)}.")
    return cookbook() / benchmark / f"{name}.yaml"


def expand(argv: Sequence[str], benchmark: str = "glue") -> list[str]:
    """The command line with what files say put in its place, so that what is written later overrides it.

    A file of arguments may stand first: `mine.yaml --seed 7`. A recipe may be named anywhere: `--recipe aflora/mrpc
    seed=7 --max_steps 10`; then each word `name=value` overrides the recipe, and `name=null` takes the argument out.
    """
    words = list(argv)
    if words and Path(words[0]).suffix in (".json", ".yaml", ".yml"):
        words = [*as_words(read(Path(words[0]))), *words[1:]]
    name, words = take_option("--recipe", words)
    if name is None:
        return words
    content = read(recipe_path(name, benchmark))
    rest = []
    for word in words:
        if override := OVERRIDE.fullmatch(word):
            content[override[1]] = parse_value(override[2])
        else:
            rest.append(word)
    return [*as_words(content), *rest]


def take_option(option: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of the last `option VALUE` or `option=VALUE`, and the words without it."""
    value, rest, left = None, [], list(words)
    while left:
        word = left.pop(0)
        if word == option:
            if not left or left[0].startswith("--"):
                raise ArgumentsError(f"{option} needs a value.")
            value = left.pop(0)
        elif word.startswith(f"{option}="):
            value = word.partition("=")[2]
        else:
            rest.append(word)
    return value, rest


def read(path: Path) -> dict[str, Any]:
    """A `.json` or `.yaml` file that maps argument names to values.

    Raises:
        ArgumentsError: there is no such file, or it is no mapping.
    """
    if not path.is_file():
        raise ArgumentsError(f"{path}: there is no such file of arguments.")
    text = path.read_text(encoding="utf-8")
    yaml = require("yaml", extra="train")
    try:
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (json.JSONDecodeError, yaml.YAMLError) as error:
        raise ArgumentsError(f"{path}: not valid {path.suffix[1:]} ({str(error).splitlines()[0]}).") from error
    if not isinstance(content, dict):
        raise ArgumentsError(f"{path}: a file of arguments maps names to values.")
    return content


def parse_value(text: str) -> Any:
    """The value of `name=value`: a list or mapping as YAML writes it, `null`, or the words as they stand."""
    if text == "null":
        return None
    if text[:1] not in ("[", "{"):
        return text
    yaml = require("yaml", extra="train")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text  # a regular expression, for example


def as_words(content: dict[str, Any]) -> list[str]:
    """Arguments as command-line words: `{"seed": 3, "do_train": true, "r": null}` → `--seed 3 --do_train True`."""
    words = []
    for name, value in content.items():
        if value is not None:
            values = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
            words += [f"--{name}", *map(str, values)]
    return words

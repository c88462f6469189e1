"""`ginets recipes list|show|copy`: published hyperparameters."""

import json as as_json
from difflib import get_close_matches
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from ..recipes.recipe_files import cookbook
from .command import Json, add_verb, new_app


EXAMPLES = """
ginets recipes list "glue/*/mrpc"
ginets recipes show glue/aflora/mrpc
ginets recipes copy glue/aflora/mrpc mine.yaml
"""
# folder of the cookbook → how its files are used; the rest of the name follows
USES = {
    "glue": "ginets glue --recipe {}",
    "squad": "ginets squad --recipe {}",
    "nlg": "ginets train nlg --recipe {}",
    "instruct": "ginets train instruct --recipe {}",
    "math": "ginets train math --recipe {}",
    "sweeps": "ginets sweep {}",
    "accelerate": "accelerate launch --config_file {}.yaml",
}
Name = Annotated[str, Argument(metavar="NAME", help="As `ginets recipes list` has it, e.g. glue/aflora/mrpc.")]


def list_recipes(
    pattern: Annotated[str, Argument(metavar="PATTERN", help='Shell-style, e.g. "glue/*/mrpc".')] = "*",
    json: Json = False,
) -> int:
    """List recipes: name, and the command that uses it.

    Exit code 1 if there is none of that pattern.
    """
    rows = [row for row in all_recipes() if fnmatch(row["name"], pattern)]
    print_rows(rows, json)
    return 0 if rows else 1


def show(name: Name) -> None:
    """Print a recipe."""
    print(find(name).read_text(encoding="utf-8"), end="")


def copy(
    name: Name,
    to: Annotated[Path, Argument(metavar="TO", help="File or folder to copy it to.")] = Path("."),
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a file that is there.")] = False,
) -> None:
    """Copy a recipe, to change it.

    `ginets glue mine.yaml`, `ginets squad mine.yaml` and `ginets train TASK mine.yaml` take such a file.
    """
    source = find(name)
    target = to / source.name if to.is_dir() else to
    if target.exists() and not overwrite:
        raise ValueError(f"{target} is there; give another name, or --overwrite.")
    target.write_bytes(source.read_bytes())
    print(target)


def all_recipes() -> list[dict[str, str]]:
    """Name, use and first line of each recipe."""
    rows = []
    for path in sorted(cookbook().rglob("*.yaml")):
        name = path.relative_to(cookbook()).with_suffix("").as_posix()
        folder, _, rest = name.partition("/")
        about = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        rows.append({"name": name, "use": USES[folder].format(rest), "about": about})
    return rows


def find(name: str) -> Path:
    """The file of a recipe.

    Raises:
        ValueError: there is none of this name.
    """
    known = [row["name"] for row in all_recipes()]
    if name not in known:
        close = get_close_matches(name, known, n=3) or [each for each in known if each.endswith(f"/{name}")][:3]
        hint = f"did you mean {' or '.join(close)}?" if close else "`ginets recipes list` has all."
        raise ValueError(f"no recipe {name!r}; {hint}")
    return cookbook() / f"{name}.yaml"


def print_rows(rows: list[dict[str, str]], json: bool) -> None:
    """The first two columns, or everything as JSON."""
    if json:
        print(as_json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for name, text, *_ in map(dict.values, rows):
        print(f"{name:{width}}  {text}")


APP = new_app("Published hyperparameters: list, show and copy them.", EXAMPLES)
for _name, _function in (("list", list_recipes), ("show", show), ("copy", copy)):
    add_verb(APP, _name, _function, EXAMPLES, program="ginets recipes")

"""`ginets list KIND`: what there is."""

from fnmatch import fnmatch
from typing import Annotated, Literal

from typer import Argument

from .command import Json
from .recipes import all_recipes, print_rows


EXAMPLES = """
ginets list
ginets list models "deberta*"
ginets list recipes "glue/*/mrpc" --json
"""


def models() -> list[dict[str, str]]:
    """The zoo: configurations, by name and folder."""
    from ..models.zoo import list_models, model_path

    return [{"name": name, "path": model_path(name)} for name in list_models()]


def families() -> list[dict[str, str]]:
    """Model types, and the classes that come with each."""
    from ..models.auto import FAMILIES

    return [{"name": each.config.model_type, "classes": ", ".join(each.classes)} for each in FAMILIES]


def methods() -> list[dict[str, str]]:
    """Adapters for --adapter, and the PEFT config of each."""
    from ..recipes.methods import METHODS

    rows = {name: ("peft" if method.config[0] == "peft" else "ginets", method) for name, method in METHODS.items()}
    return [{"name": name, "config": f"{package}.{method.config[1]}"} for name, (package, method) in rows.items()]


def recipes() -> list[dict[str, str]]:
    """Published hyperparameters, and the commands that use them."""
    return all_recipes()


def tasks() -> list[dict[str, str]]:
    """What is trained, scored and generated, and the verb that does it."""
    from ..data.glue import TASKS as GLUE
    from .eval import TASKS as EVAL
    from .generate_tasks import TASKS as GENERATE
    from .train import TASKS as TRAIN

    verbs = {
        **{name: f"ginets glue --task_name {name}" for name in GLUE},
        **{f"train {name}": f"ginets train {name}" for name in TRAIN},
        **{f"eval {name}": f"ginets eval {name}" for name in EVAL},
        **{f"generate {name}": f"ginets generate --task {name}" for name in GENERATE},
    }
    return [{"name": name, "verb": verb} for name, verb in verbs.items()]


KINDS = {each.__name__: each for each in (models, families, methods, recipes, tasks)}


def main(
    kind: Annotated[Literal[tuple(KINDS)] | None, Argument(metavar="KIND", help="Of what.")] = None,
    pattern: Annotated[str, Argument(metavar="PATTERN", help='Shell-style, e.g. "deberta*".')] = "*",
    json: Json = False,
) -> int:
    """List models, methods, recipes and more.

    KIND is models, families, methods, recipes or tasks; without it the kinds are explained. Exit code 1 if nothing is of
    that pattern.
    """
    if kind is None:
        rows = [{"name": name, "what": each.__doc__} for name, each in KINDS.items()]
    else:
        rows = [row for row in KINDS[kind]() if fnmatch(row["name"], pattern)]
    print_rows(rows, json)
    return 0 if rows else 1

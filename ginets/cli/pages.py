"""A page per verb, made from its help: `python -m ginets.cli.pages docs/cli`."""

import inspect
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from enum import Enum
from pathlib import Path

import typer
from transformers import TrainingArguments

from ..recipes.commands import COMMANDS
from .app import APP, SECTIONS
from .command import Training


EVERYWHERE = ("help", "debug")  # said once, in the index
INDEX = """# The command line

`ginets VERB --help`, or `-h`, shows what these pages show; they are made from it.

| verb | |
|---|---|
{rows}

| exit code | |
|---|---|
| 0 | done |
| 1 | not done, or done with a negative finding: `verify` found something wrong, `check-leak --strict` something shared, `list` nothing |
| 2 | wrong usage, or input that cannot be used; one line on stderr says what and how to mend it |
| 128 + n | ended by signal n, e.g. 130 after Ctrl-C |

`--debug` at any verb shows the traceback of an error. `--json`, where a verb has it, prints JSON on stdout, and nothing else
there. An option that takes several words takes them one after the other: `--layers 1 6 -1`.

`ginets --install-completion` completes verbs and options in your shell; `ginets --show-completion` prints the script.
"""


def pages() -> dict[str, str]:
    """File name → text."""
    group = typer.main.get_command(APP)
    root = group.make_context("ginets", [], resilient_parsing=True)
    made, rows = {}, []
    for section, names in SECTIONS.items():
        rows.append(f"| **{section}** | |")
        for name in names:
            command = group.commands[name]
            made[f"{name}.md"] = "\n\n".join(page(command, root, 1)) + "\n"
            rows.append(f"| [`{name}`]({name}.md) | {first_line(command)} |")
    return {"README.md": INDEX.format(rows="\n".join(rows)), **made}


def page(command, parent: typer.Context, level: int) -> Iterator[str]:
    """The blocks of Markdown of a verb, and of the verbs below it."""
    context = typer.Context(command, info_name=command.name, parent=parent)
    yield f"{'#' * level} `{context.command_path}`"
    yield inspect.cleandoc(command.help)
    yield "    " + " ".join([context.command_path, *usage(command, context)])
    examples = inspect.cleandoc(command.epilog).partition("Examples:\n")[2]
    if level == 1 or examples not in inspect.cleandoc(parent.command.epilog):
        yield "Examples:"
        yield "```bash\n" + inspect.cleandoc(examples) + "\n```"
    if isinstance(command, Training):
        yield from training_arguments(context.command_path.removeprefix("ginets "))
        return
    own = [each for each in command.get_params(context) if each.name not in EVERYWHERE]
    if rows := [each.get_help_record(context) for each in own]:
        yield table("argument", rows)
    for each in getattr(command, "commands", {}).values():
        yield from page(each, context, level + 1)


def usage(command, context: typer.Context) -> list[str]:
    """What follows the name."""
    return [piece.replace("{", "").replace("}", "") for piece in command.collect_usage_pieces(context)]


def training_arguments(verb: str) -> Iterator[str]:
    """The arguments that are ours; those of transformers are its own subject."""
    for kind in COMMANDS[verb].types:
        own = kind.__annotations__ if issubclass(kind, TrainingArguments) else {each.name for each in fields(kind)}
        rows = [(f"--{each.name}", help_of(each)) for each in fields(kind) if each.init and each.name in own]
        yield inspect.cleandoc(kind.__doc__).partition("\n")[0]
        yield table("argument", rows)
    yield (
        "Beside these there are all others of transformers' `TrainingArguments`, and with `--adapter NAME` the fields of "
        f"that adapter's config: `ginets {verb} --adapter NAME --help` lists everything."
    )


def help_of(field) -> str:
    """Help text and default of an argument."""
    default = field.default.value if isinstance(field.default, Enum) else field.default
    text = " ".join(field.metadata.get("help", "").split()).replace("%%", "%")
    return text if default in (None, MISSING, False, "") or "[default" in text else f"{text}  [default: {default}]"


def table(title: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| `{escape(name)}` | {escape(text)} |" for name, text in rows]
    return "\n".join([f"| {title} | |", "|---|---|", *lines])


def escape(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def first_line(command) -> str:
    return inspect.cleandoc(command.help).partition("\n")[0]


def write(folder: Path) -> None:
    """Write the pages, and remove those of verbs that are gone."""
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

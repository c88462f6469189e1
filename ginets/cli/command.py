"""How verbs are built on Typer: options, help with examples, one way to fail."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from .errors import in_one_line


SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NUMBER = re.compile(r"-\d+(\.\d+)?")


class Verb(TyperCommand):
    """A verb whose list options take several words, as those of training scripts do: `--layers 1 6 -1`.

    They are those whose metavar ends in `...`; other options that may be repeated are written each time.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        lists = {name for param in self.params if (param.metavar or "").endswith("...") for name in param.opts}
        return super().parse_args(ctx, spread(args, lists))


def spread(words: Iterable[str], lists: set[str]) -> list[str]:
    """`--layers 1 6` → `--layers 1 --layers 6`, for the options in `lists`."""
    result, option = [], None
    for word in words:
        if word.startswith("-") and not NUMBER.fullmatch(word):
            option = word if word in lists else None
        elif option and result[-1] != option:
            result.append(option)
        result.append(word)
    return result


class PassedOn(TyperCommand):
    """A verb that hands its words on as they are; `--help` in front is answered here."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        if args[:1] in (["-h"], ["--help"]):
            typer.echo(self.get_help(ctx))
            ctx.exit()
        ctx.args = args
        return args

    @staticmethod
    def take_debug(words: Sequence[str]) -> tuple[bool, list[str]]:
        """Whether `--debug` is given, in front, and the words to hand on."""
        debug = words[:1] == ["--debug"]
        return debug, list(words[debug:])


class Training(PassedOn):
    """A verb with the parser of a recipe: `--help` shows its arguments too, wherever it stands."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        if "-h" in args or "--help" in args:
            typer.echo(self.get_help(ctx) + "\n")
        ctx.args = args
        return args

    @staticmethod
    def take_debug(words: Sequence[str]) -> tuple[bool, list[str]]:
        """Anywhere, unless a value follows: the training arguments of transformers have a `--debug` as well."""
        following = [*words[1:], "--"][: len(words)]
        ours = [word == "--debug" and after.startswith("--") for word, after in zip(words, following, strict=True)]
        return any(ours), [word for word, taken in zip(words, ours, strict=True) if not taken]


class Verbs(TyperGroup):
    """Verbs in sections: the `rich_help_panel` of each."""

    def format_commands(self, ctx: typer.Context, formatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if not command.hidden:
                row = (name, command.get_short_help_str(formatter.width))
                sections.setdefault(command.rich_help_panel or "Commands", []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)


def new_app(text: str, examples: str, completion: bool = False) -> typer.Typer:
    """A group of verbs."""
    return typer.Typer(
        cls=Verbs,
        help=text,
        epilog=epilog(examples),
        add_completion=completion,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=SETTINGS,
        subcommand_metavar="VERB [ARGUMENT ...]",
    )


def add_verb(
    app: typer.Typer,
    name: str,
    function: Callable[..., int | None],
    examples: str,
    kind: type[TyperCommand] = Verb,
    section: str | None = None,
    program: str = "ginets",
    hidden: bool = False,
) -> None:
    """Make `function` a verb: its docstring is the help, its signature the options; its result is the exit code."""
    takes_options = kind is Verb
    program = f"{program} {name}"
    app.command(
        name,
        cls=kind,
        epilog=epilog(examples),
        context_settings=SETTINGS,
        options_metavar="[OPTIONS]" if takes_options else "[ARGUMENT ...]",
        rich_help_panel=section,
        hidden=hidden,
    )(with_debug(program, function) if takes_options else with_words(program, function, kind))


def epilog(examples: str) -> str:
    """Examples as they stand; `\\b` keeps Typer from filling lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in inspect.cleandoc(examples).splitlines())


def with_debug(program: str, function: Callable) -> Callable:
    """`function` with one more option, and errors in one line."""

    @wraps(function)
    def run(*args, debug: bool = False, **options):
        with in_one_line(program, debug):
            return function(*args, **options)

    signature = inspect.signature(function)
    last = inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), last])
    run.__annotations__ = {**function.__annotations__, "debug": Debug}
    return run


def with_words(program: str, function: Callable[[list[str]], int | None], kind: type[PassedOn]) -> Callable:
    """`function`, which takes words, with errors in one line."""

    def run(ctx: typer.Context):
        debug, words = kind.take_debug(ctx.args)
        with in_one_line(program, debug):
            return function(words)

    run.__doc__ = function.__doc__
    return run


def call(app: typer.Typer, words: Sequence[str]) -> int:
    """Do what the words say; the exit code. Words that cannot be understood end the process with code 2 and one line."""
    try:
        result = typer.main.get_command(app).main(list(words) or ["--help"], "ginets", standalone_mode=False)
    except typer.TyperException as error:
        ctx = getattr(error, "ctx", None)
        program = ctx.command_path if ctx else "ginets"
        text = " ".join(error.format_message().split()).replace("Value error, ", "").rstrip(".")
        print(f"{program}: error: {text}. See `{program} --help`.", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    return result or 0

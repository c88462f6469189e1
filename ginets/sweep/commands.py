"""The commands that a sweep can run, and the check of their arguments before any of them is run."""

import contextlib
import io
from collections.abc import Sequence

from ..recipes import glue, squad, train
from ..recipes.command import USER_ERRORS
from ..recipes.recipe_files import ArgumentsError


# as on the command line after `ginets`
COMMANDS = {command.verb: command for command in (glue.COMMAND, squad.COMMAND, *train.COMMANDS.values())}


def check(command: str, words: Sequence[str]) -> None:
    """Raise `ArgumentsError` for words that the command would refuse before it looks at data or model."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            COMMANDS[command].parse_all(words)
    except SystemExit as error:
        raise ArgumentsError(said.getvalue().strip()) from error
    except USER_ERRORS as error:
        raise ArgumentsError(str(error)) from error

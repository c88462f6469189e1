"""The training commands by their verbs, as on the command line after `ginets`."""

from . import glue, squad, train
from .command import Command


COMMANDS: dict[str, Command] = {
    command.verb: command for command in (glue.COMMAND, squad.COMMAND, *train.COMMANDS.values())
}

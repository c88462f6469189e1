"""The command `run_squad`: the recipe for question answering, or the embedded example."""

from . import squad_demo
from .command import Command
from .question_answering import run
from .squad_data import DataArguments


COMMAND = Command("run_squad", "squad", "squad", DataArguments, run, squad_demo.main)
main, parse_all = COMMAND.main, COMMAND.parse_all

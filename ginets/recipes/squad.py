"""The command `run_squad`: the recipe for question answering, or the embedded example."""

from collections.abc import Sequence

from .command import Command
from .question_answering import run
from .squad_data import DataArguments


def demo(argv: Sequence[str]) -> dict[str, float]:
    from .squad_demo import main

    return main(argv)


COMMAND = Command("run_squad", "squad", "squad", DataArguments, run, demo)
main, parse_all = COMMAND.main, COMMAND.parse_all

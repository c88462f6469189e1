"""The command `run_glue`: the recipe for classification, or the embedded example."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from huggingface_hub.errors import StrictDataclassError

from ..data.tabular import DataError
from . import demo
from .arguments import (
    ArgumentsError,
    GateArguments,
    ModelArguments,
    OneLineParser,
    RecipeTrainingArguments,
    expand,
    option,
    parse,
)
from .classification import run
from .glue_data import DataArguments
from .outputs import command_line


USER_ERRORS = (ArgumentsError, DataError, StrictDataclassError, ImportError)
PROGRAM = "run_glue"


@dataclass
class CommandArguments:
    """What the command does."""

    demo: bool = option("Run the embedded offline example (also without any argument); see docs/glue.md.", False)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """The command `run_glue`: parse, run, and exit with code 2 and one line if the input cannot be used."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("ginets").setLevel(logging.INFO)
    try:
        words = expand(argv)
        command, others = OneLineParser(
            CommandArguments, prog=PROGRAM, add_help=False, allow_abbrev=False
        ).parse_known_args(words)
        if not words or command.demo:
            return demo.main(others)
        try:
            _, model_args, gate_args, data_args, training_args = parse(
                [CommandArguments, ModelArguments, GateArguments, DataArguments, RecipeTrainingArguments],
                words,
                prog=PROGRAM,
            )
        except ValueError as error:  # also from the checks of `TrainingArguments`
            raise ArgumentsError(str(error)) from error
        return run(model_args, data_args, training_args, gate_args, command=command_line("ginets glue", argv))
    except USER_ERRORS as error:
        print(f"{PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error

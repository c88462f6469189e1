"""The command `run_glue`: the recipe for classification, or the embedded example."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec

from huggingface_hub.errors import StrictDataclassError

from ..data.tabular import DataError
from . import demo, methods
from .adapted import AdapterArguments
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


logger = logging.getLogger(__name__)

USER_ERRORS = (ArgumentsError, DataError, StrictDataclassError, ImportError)
PROGRAM = "run_glue"


@dataclass
class CommandArguments:
    """What the command does."""

    demo: bool = option("Run the embedded offline example (also without any argument); see docs/glue.md.", False)
    recipe: str | None = option("Published hyperparameters, e.g. aflora/mrpc; `name=value` and options override them.")


TYPES = [CommandArguments, ModelArguments, AdapterArguments, GateArguments, DataArguments, RecipeTrainingArguments]
TAKEN = {f.name for each in TYPES for f in fields(each) if f.init}


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """The command `run_glue`: parse, run, and exit with code 2 and one line if the input cannot be used."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("ginets").setLevel(logging.INFO)
    try:
        words = expand(argv)
        command, others = quiet_parser(CommandArguments).parse_known_args(words)
        if not words or command.demo:
            return demo.main(others)
        model_args, adapter_args, gate_args, data_args, training_args = parse_all(words)
        line = command_line("ginets glue", argv)
        return run(model_args, data_args, training_args, gate_args, line, adapter_args)
    except USER_ERRORS as error:
        print(f"{PROGRAM}: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def quiet_parser(*dataclass_types: type) -> OneLineParser:
    """A parser for a first look at some of the arguments."""
    return OneLineParser(dataclass_types, prog=PROGRAM, add_help=False, allow_abbrev=False)


def parse_all(words: Sequence[str]) -> tuple:
    """All arguments. Which adapter it is comes first: it decides which further flags there are."""
    name = quiet_parser(AdapterArguments).parse_known_args(words)[0].adapter
    method = methods.METHODS.get(name)
    flags = [methods.flags(method, TAKEN)] if method else []
    try:
        _, model_args, adapter_args, *others = parse([*TYPES, *flags], words, hint=whose, prog=PROGRAM)
    except ValueError as error:  # also from the checks of `TrainingArguments`
        raise ArgumentsError(str(error)) from error
    if method:
        adapter_args.fields = methods.given(method, others.pop(), TAKEN)
        for flag in others[0].given.keys() & methods.option_fields(method).keys():
            logger.warning("--%s is the flag of a gate; the field of the adapter is --adapter_%s.", flag, flag)
    return model_args, adapter_args, *others


def whose(unknown: list[str]) -> str:
    """What to say of unknown words: which adapter they belong to, if to any."""
    flag = next(
        (word.removeprefix("--").partition("=")[0].replace("-", "_") for word in unknown if word[:2] == "--"), ""
    )
    owners = methods.owners(flag, TAKEN) if flag and find_spec("peft") else []
    return f"--{flag} belongs to --adapter {', '.join(owners)}" if owners else "--help lists all"

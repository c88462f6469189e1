"""A command that trains: `run_glue`, `ginets train nlg`, ... They differ in their data and in what is done with it."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec

from huggingface_hub.errors import StrictDataclassError

from ..data.tabular import DataError
from . import methods
from .adapted import AdapterArguments
from .arguments import (
    ArgumentsError,
    GateArguments,
    ModelArguments,
    OneLineParser,
    RecipeTrainingArguments,
    option,
    parse,
)
from .outputs import command_line
from .recipe_files import expand


logger = logging.getLogger(__name__)

USER_ERRORS = (ArgumentsError, DataError, StrictDataclassError, ImportError)


@dataclass
class CommandArguments:
    """What the command does."""

    demo: bool = option("Run the embedded offline example (also without any argument).", False)
    recipe: str | None = option("Published hyperparameters, e.g. aflora/mrpc; `name=value` and options override them.")


@dataclass(frozen=True)
class Command:
    """A training command.

    Attributes:
        program: its name in messages.
        verb: the same command as `ginets VERB`, for model cards.
        recipes: folder of its recipes in the cookbook.
        data_arguments: dataclass of the arguments that say which data.
        run: trains and evaluates: `(model_args, data_args, training_args, gate_args, command, adapter_args)` → figures.
        demo: the embedded example, called with what stands on the command line beside `--demo`; not all have one.
    """

    program: str
    verb: str
    recipes: str
    data_arguments: type
    run: Callable[..., dict[str, float]]
    demo: Callable[[Sequence[str]], dict[str, float]] | None = None

    @property
    def types(self) -> list[type]:
        """The dataclasses of arguments, those of an adapter aside."""
        shared = [CommandArguments, ModelArguments, AdapterArguments, GateArguments]
        return [*shared, self.data_arguments, RecipeTrainingArguments]

    @property
    def taken(self) -> set[str]:
        """Names that a field of an adapter cannot have as its flag."""
        return {f.name for each in self.types for f in fields(each) if f.init}

    def main(self, argv: Sequence[str] | None = None) -> dict[str, float]:
        """Parse, run, and exit with code 2 and one line if the input cannot be used."""
        argv = list(sys.argv[1:] if argv is None else argv)
        logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
        logging.getLogger("ginets").setLevel(logging.INFO)
        try:
            words = expand(argv, self.recipes)
            command, others = self.quiet_parser(CommandArguments).parse_known_args(words)
            if self.demo and (command.demo or not words):
                return self.demo(others)
            model_args, adapter_args, gate_args, data_args, training_args = self.parse_all(words)
            line = command_line(f"ginets {self.verb}", argv)
            return self.run(model_args, data_args, training_args, gate_args, line, adapter_args)
        except USER_ERRORS as error:
            print(f"{self.program}: error: {' '.join(str(error).split())}", file=sys.stderr)
            raise SystemExit(2) from error

    def quiet_parser(self, *dataclass_types: type) -> OneLineParser:
        """A parser for a first look at some of the arguments."""
        return OneLineParser(dataclass_types, prog=self.program, add_help=False, allow_abbrev=False)

    def parse_all(self, words: Sequence[str]) -> tuple:
        """All arguments. Which adapter it is comes first: it decides which further flags there are."""
        name = self.quiet_parser(AdapterArguments).parse_known_args(words)[0].adapter
        method = methods.METHODS.get(name)
        flags = [methods.flags(method, self.taken)] if method else []
        try:
            _, model_args, adapter_args, *others = parse(
                [*self.types, *flags], words, hint=self.whose, prog=self.program
            )
        except ValueError as error:  # also from the checks of `TrainingArguments`
            raise ArgumentsError(str(error)) from error
        if method:
            adapter_args.fields = methods.given(method, others.pop(), self.taken)
            for flag in others[0].given.keys() & methods.option_fields(method).keys():
                logger.warning("--%s is the flag of a gate; the field of the adapter is --adapter_%s.", flag, flag)
        return model_args, adapter_args, *others

    def parse_quietly(self, words: Sequence[str]) -> tuple:
        """As `parse_all`, for words that are not those of this process: nothing is printed, nothing exits.

        Raises:
            ArgumentsError: the command would refuse them before it looks at data or model; its own sentence.
        """
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                return self.parse_all(expand(list(words), self.recipes))
        except SystemExit as error:
            sentence = said.getvalue().strip().rpartition("error: ")[2]
            raise ArgumentsError(sentence or "the words ask for help, not for a run.") from error
        except USER_ERRORS as error:
            raise ArgumentsError(str(error)) from error

    def whose(self, unknown: list[str]) -> str:
        """What to say of unknown words: which adapter they belong to, if to any."""
        flag = next(
            (word.removeprefix("--").partition("=")[0].replace("-", "_") for word in unknown if word[:2] == "--"), ""
        )
        owners = methods.owners(flag, self.taken) if flag and find_spec("peft") else []
        return f"--{flag} belongs to --adapter {', '.join(owners)}" if owners else "--help lists all"

"""The form of the training tab as words of a command line: those a user could type, checked by the same parser."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields

from ..recipes.arguments import ArgumentsError
from ..recipes.commands import COMMANDS
from .source import Refused


# task in the menu → its verb
TASKS = {
    "Classification (GLUE or your files)": "glue",
    "Question answering (SQuAD or your files)": "squad",
    "Language model: data to text": "train nlg",
    "Language model: instructions": "train instruct",
    "Language model: word problems": "train math",
}
NAMED = ("glue", "train nlg")  # verbs that know data sets by --task_name
RESUME = ("--resume_from_checkpoint", "auto")
LIVE = ("--logging_strategy", "steps", "--logging_steps", "0.02")  # 50 points, however long the training
GATES = {"queries": "--gi_query_side", "keys": "--gi_key_side"}


@dataclass(frozen=True)
class Form:
    """What was filled in; empty texts are left out of the command.

    Attributes:
        gates: of `GATES`.
        level: for gates and for adapters that inhibit; None: their default.
        more: further words, as typed in a shell.
    """

    task: str
    model: str = ""
    task_name: str = ""
    glue_dir: str = ""
    train_file: str = ""
    validation_file: str = ""
    adapter: str = "none"
    gates: tuple[str, ...] = ()
    level: float | None = None
    epochs: float = 3.0
    learning_rate: float = 5e-5
    batch_size: int = 8
    seed: int = 42
    output_dir: str = "runs/page"
    more: str = ""

    @property
    def verb(self) -> str:
        return TASKS[self.task]

    def words(self) -> list[str]:
        """Without the verb.

        Raises:
            Refused: the further words are no words of a shell.
        """
        try:
            more = shlex.split(self.more)
        except ValueError as error:
            raise Refused(f"Further options: {error}.") from error
        options = {
            "--model_name_or_path": self.model,
            "--task_name": self.task_name if self.verb in NAMED else "",
            "--glue_dir": self.glue_dir if self.verb == "glue" else "",
            "--train_file": self.train_file,
            "--validation_file": self.validation_file,
            "--adapter": "" if self.adapter == "none" else self.adapter,
        }
        words = [word for name, value in options.items() if value.strip() for word in (name, value.strip())]
        words += [GATES[side] for side in self.gates]
        if self.level is not None:
            words += ["--inhibition_level", f"{self.level:g}"] if self.gates else []
            words += ["--adapter_inhibition_level", f"{self.level:g}"] if self.adapter == "ina" else []
        numbers = {
            "--num_train_epochs": f"{self.epochs:g}", "--learning_rate": f"{self.learning_rate:g}",
            "--per_device_train_batch_size": f"{self.batch_size:d}", "--seed": f"{self.seed:d}",
        }  # fmt: skip
        named = self.verb == "glue" and (self.task_name or self.glue_dir)  # which come with data to evaluate on
        evaluates = ["--do_eval"] if named or self.validation_file else []
        words += ["--do_train", *evaluates, *(word for pair in numbers.items() for word in pair)]
        return [*words, *LIVE, "--output_dir", self.output_dir.strip() or "runs/page", *more]

    def line(self) -> str:
        """The command as it is typed, an option a line."""
        lines = [f"ginets {self.verb}"]
        for word in map(shlex.quote, self.words()):
            if word.startswith("--"):
                lines.append(word)
            else:
                lines[-1] += f" {word}"
        return " \\\n    ".join(lines)


FIELDS = tuple(each.name for each in fields(Form))


def check(verb: str, words: Sequence[str]) -> str:
    """Parse the words as the command would; returns the folder of the run.

    Raises:
        Refused: they cannot be used, in the parser's own sentence.
    """
    try:
        arguments = COMMANDS[verb].parse_quietly(words)
    except ArgumentsError as error:
        sentence = str(error)
        raise Refused(sentence[:1].upper() + sentence[1:]) from error
    model, training = arguments[0], next(each for each in arguments if hasattr(each, "output_dir"))
    if not model.model_name_or_path:
        raise Refused("Please name a model to start from, a folder or a name on the Hub.")
    return training.output_dir

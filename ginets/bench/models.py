"""The models of a leaderboard's methods, and a look at all of them, and at the data of its tasks, before any run."""

from pathlib import Path

from ..data.tabular import DataError
from ..recipes import glue_data, squad_data
from ..recipes.adapted import check_fit, make_config
from ..recipes.command import USER_ERRORS
from ..recipes.commands import COMMANDS
from ..recipes.heads import CLASSIFICATION, load_config
from ..recipes.model import make_model
from ..recipes.recipe_files import ArgumentsError
from .definition import Leaderboard


STEPS = 1000  # of the run that schedules are made for


def arguments_of(board: Leaderboard, method: str) -> tuple:
    """The arguments of a run of the method, as its command takes them apart."""
    cells = board.task(Path("none"), board.tuning_task, board.first_rates).cells
    cell = next(each for each in cells if each.variant["method"] == method)
    return COMMANDS[cell.command].parse_quietly(["--output_dir", "none", *cell.words()])


def config_of(model_args, gate_args):
    """The config of a classifier of two classes."""
    config = load_config(model_args, gate_args)
    config.num_labels = 2
    return config


def model_of(board: Leaderboard, method: str):
    """A method's model, a classifier of two classes in training mode, and the arguments of its training."""
    model_args, adapter_args, gate_args, _, training_args = arguments_of(board, method)
    config = config_of(model_args, gate_args)
    model = make_model(model_args, adapter_args, config, CLASSIFICATION, None, STEPS, seed=0).train()
    return model, training_args


def check_data(board: Leaderboard) -> None:
    """Read the data of all selected tasks and of the tuning's, as their runs will do.

    Raises:
        ArgumentsError: it cannot be used, or has no such metric; the message names the task.
    """
    for name in dict.fromkeys((board.tuning_task, *board.selected)):
        task, cell = board.tasks[name], board.task(Path("none"), name, board.first_rates).cells[0]
        parsed = COMMANDS[cell.command].parse_quietly(["--output_dir", "none", *cell.words()])
        model_args, _, _, data_args, training_args = parsed
        try:
            if task.command == "glue":
                metrics = glue_data.load_examples(data_args, training_args, model_args, head=tuple).metrics
            elif task.command == "squad":
                squad_data.load_examples(data_args, training_args, model_args)
                metrics = ("f1", "exact")
            else:
                continue
        except (DataError, ArgumentsError) as error:
            raise ArgumentsError(f"tasks.{name}: {error}") from error
        if task.metric not in (*metrics, "combined_score"):
            raise ArgumentsError(f"tasks.{name}: metric is {task.metric!r}; allowed: {', '.join(metrics)}.")


def check_methods(board: Leaderboard) -> None:
    """Look whether the base model takes the gates and adapters of all methods; no weights are read.

    Raises:
        ArgumentsError: it does not; the message names the method.
    """
    for method in board.methods:
        try:
            model_args, adapter_args, gate_args, *_ = arguments_of(board, method)
            config = config_of(model_args, gate_args)
            if adapter_config := make_config(adapter_args, STEPS, CLASSIFICATION):
                check_fit(adapter_config, config, CLASSIFICATION)
        except USER_ERRORS as error:
            raise ArgumentsError(f"methods.{method}: {error}") from error

"""A look at what would make runs of a leaderboard fail, before the first: some would only begin hours later."""

from ..data.tabular import DataError
from ..recipes import glue_data, squad_data
from ..recipes.adapted import check_fit, make_config
from ..recipes.command import USER_ERRORS
from ..recipes.heads import CLASSIFICATION
from ..recipes.question_answering import FIGURES
from ..recipes.recipe_files import ArgumentsError
from .definition import Leaderboard
from .models import STEPS, arguments_of, config_of
from .protocol import figures_of


def check_data(board: Leaderboard) -> None:
    """Read the data of all selected tasks and of the tuning's, as their runs will do.

    Raises:
        ArgumentsError: it cannot be used, or has no such metric; the message names the task.
    """
    method = next(iter(board.methods))
    for name in dict.fromkeys((board.tuning_task, *board.selected)):
        task = board.tasks[name]
        model_args, _, _, data_args, training_args = arguments_of(board, name, method)
        try:
            if task.command == "squad":
                examples = squad_data.load_examples(data_args, training_args, model_args)
                figures = FIGURES[squad_data.is_version_2(examples, data_args)]
            else:
                examples = glue_data.load_examples(data_args, training_args, model_args, head=tuple)
                figures = figures_of(examples.metrics)
            if task.metric not in figures:
                raise ArgumentsError(f"metric is {task.metric!r}; allowed: {', '.join(figures)}.")
        except (DataError, ArgumentsError) as error:
            raise ArgumentsError(f"tasks.{name}: {error}") from error


def warn_of_emulation(board: Leaderboard) -> None:
    """Say it where runs would take tens of times longer than they need; they say it themselves, but in their logs."""
    *_, training_args = arguments_of(board, board.tuning_task, next(iter(board.methods)))
    training_args.warn_of_emulation()


def check_methods(board: Leaderboard) -> None:
    """Look whether the base model takes the gates and adapters of all methods; no weights are read.

    Raises:
        ArgumentsError: it does not; the message names the method.
    """
    for method in board.methods:
        try:
            model_args, adapter_args, gate_args, *_ = arguments_of(board, board.tuning_task, method)
            config = config_of(model_args, gate_args)
            if adapter_config := make_config(adapter_args, STEPS, CLASSIFICATION):
                check_fit(adapter_config, config, CLASSIFICATION)
        except USER_ERRORS as error:
            raise ArgumentsError(f"methods.{method}: {error}") from error

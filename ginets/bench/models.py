"""The models of a leaderboard's methods."""

from pathlib import Path

from ..recipes.commands import COMMANDS
from ..recipes.heads import CLASSIFICATION, load_config
from ..recipes.model import make_model
from .definition import Leaderboard


STEPS = 1000  # of the run that schedules are made for


def arguments_of(board: Leaderboard, task: str, method: str) -> tuple:
    """The arguments of a run of the method on the task, as its command takes them apart."""
    cells = board.task(Path("none"), task, board.first_rates).cells
    cell = next(each for each in cells if each.variant["method"] == method)
    return COMMANDS[cell.command].parse_quietly(["--output_dir", "none", *cell.words()])


def config_of(model_args, gate_args):
    """The config of a classifier of two classes."""
    config = load_config(model_args, gate_args)
    config.num_labels = 2
    return config


def model_of(board: Leaderboard, method: str):
    """A method's model, a classifier of two classes in training mode, and the arguments of its training."""
    model_args, adapter_args, gate_args, _, training_args = arguments_of(board, board.tuning_task, method)
    config = config_of(model_args, gate_args)
    model = make_model(model_args, adapter_args, config, CLASSIFICATION, None, STEPS, seed=0).train()
    return model, training_args

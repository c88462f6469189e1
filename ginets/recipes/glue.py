"""The command `run_glue`: the recipe for classification, or the embedded example."""

from . import demo
from .classification import run
from .command import Command
from .glue_data import DataArguments


COMMAND = Command("run_glue", "glue", "glue", DataArguments, run, demo.main)
main, parse_all = COMMAND.main, COMMAND.parse_all

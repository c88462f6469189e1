"""The command `run_glue`: the recipe for classification, or the embedded example."""

import logging
import sys
from collections.abc import Sequence

from huggingface_hub.errors import StrictDataclassError

from ginets.data.tabular import DataError
from ginets.recipes import demo
from ginets.recipes.arguments import ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments, parse
from ginets.recipes.classification import run
from ginets.recipes.glue_data import DataArguments


USER_ERRORS = (ArgumentsError, DataError, StrictDataclassError, ImportError)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """The command `run_glue`: parse, run, and exit with code 2 and one line if the input cannot be used."""
    argv = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("ginets").setLevel(logging.INFO)
    try:
        if not argv or "--demo" in argv:
            return demo.main(argv)
        try:
            parsed = parse(
                [ModelArguments, GateArguments, DataArguments, RecipeTrainingArguments], argv, prog="run_glue"
            )
        except ValueError as error:  # also from the checks of `TrainingArguments`
            raise ArgumentsError(str(error)) from error
        model_args, gate_args, data_args, training_args = parsed
        return run(model_args, data_args, training_args, gate_args)
    except USER_ERRORS as error:
        print(f"run_glue: error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error

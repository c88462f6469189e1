"""`ginets run SCRIPT`: start `python -m ginets.run SCRIPT` in place of this process."""

import os
import sys

from .command import PassedOn


KIND = PassedOn
EXAMPLES = """
ginets run run_classification.py --model_name_or_path my-bert --do_train --output_dir runs/mine
"""


def main(words: list[str]) -> None:
    """Run an unmodified script with the model families registered.

    SCRIPT [ARGUMENT ...]: the script sees its own arguments and ends with its own exit code.
    """
    os.execv(sys.executable, [sys.executable, "-m", "ginets.run", *words])

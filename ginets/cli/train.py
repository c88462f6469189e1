"""`ginets train TASK …`: fine-tune a language model."""

import sys

from ..recipes.train import COMMANDS


def main(arguments: list[str]) -> int | None:
    task, *words = arguments or ["--help"]
    if task in ("-h", "--help"):
        print(f"usage: ginets train {{{','.join(COMMANDS)}}} [ARGUMENT ...]; ginets train TASK --help lists them")
        return 0
    if task not in COMMANDS:
        print(f"ginets train: error: no task {task!r}; choose from {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    COMMANDS[task].main(words)
    return 0

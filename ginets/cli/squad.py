"""`ginets squad`: fine-tune on SQuAD or your own files."""

from ..recipes.squad import main as run


def main(arguments: list[str]):
    run(arguments)

"""`ginets glue`: fine-tune on GLUE or your own files."""

from ..recipes.glue import main as run


def main(arguments: list[str]):
    run(arguments)

"""`ginets glue`: fine-tune on GLUE or your own files."""

from .command import Training


KIND = Training
EXAMPLES = """
ginets glue                                          # an embedded example, offline
ginets glue --model_name_or_path google-bert/bert-base-uncased --task_name mrpc \\
    --gi_query_side --gi_key_side --do_train --do_eval --output_dir runs/mrpc
ginets glue --recipe aflora/mrpc --output_dir runs/aflora
"""


def main(words: list[str]) -> None:
    """Fine-tune a model on GLUE or your own files.

    Takes the arguments of run_glue.py: transformers' own, and those of gates, adapters and recipes.
    """
    from ..recipes.glue import main as run

    run(words)

"""`ginets squad`: fine-tune on SQuAD or your own files."""

from .command import Training


KIND = Training
EXAMPLES = """
ginets squad                                         # an embedded example, offline
ginets squad --model_name_or_path google-bert/bert-base-uncased --train_file train.json \\
    --validation_file dev.json --adapter ina --do_train --do_eval --output_dir runs/squad
"""


def main(words: list[str]) -> None:
    """Fine-tune a model to answer questions, on SQuAD or your own files.

    Takes the arguments of run_squad.py: transformers' own, and those of gates, adapters and recipes.
    """
    from ..recipes.squad import main as run

    run(words)

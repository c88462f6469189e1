"""What a classification run leaves behind of its own: predictions, submissions, what its card says of the data."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.glue import HUB_DATASET, Examples
from .glue_data import DataArguments
from .heads import CLASSIFICATION
from .outputs import Task, about_data


SUBMISSION_SUFFIX = {"": "", "matched": "-m", "mismatched": "-mm"}


def write_predictions(path: Path, rows, values: np.ndarray, names: Sequence[str], decimals: str = "") -> None:
    """Write `index`, `prediction` and, where known, `label` of a split, in the order of its source.

    Args:
        rows: the dataset that was predicted, with `idx` and perhaps `label`, in the order of `values`.
        values: class ids or scores, shape `(n,)`.
        names: spelling of the classes; empty for scores.
        decimals: how scores are written; default: with all digits.
    """
    columns = [rows["idx"], values] + ([rows["label"]] if "label" in rows.column_names else [])
    lines = ["index\tprediction" + "\tlabel" * (len(columns) == 3)]
    for idx, *cells in sorted(zip(*columns, strict=True), key=lambda row: row[0]):
        spelt = [names[int(cell)] if names else f"{cell:{decimals}}" if decimals else str(cell) for cell in cells]
        lines.append("\t".join([str(idx), *spelt]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_submission(folder: Path, split: str, examples: Examples, rows, values: np.ndarray) -> Path:
    """Write the predictions of an unlabelled split as the GLUE server takes them, e.g. `MRPC.tsv`, `MNLI-mm.tsv`."""
    task = examples.task
    name = f"{task.folder}{SUBMISSION_SUFFIX[split.partition('_')[2]]}.tsv"
    if task.labels:
        # Submissions spell classes as the official files do; the model may number them differently.
        names = [task.spelling[task.labels.index(label)] for label in examples.labels]
    else:
        names, values = (), np.clip(values, 0, 5)
    write_predictions(folder / name, rows.select_columns(["idx"]), values, names, ".3f")
    return folder / name


def about(examples: Examples, data_args: DataArguments) -> Task:
    """The task, for the model card."""
    figures = [f"{name}{suffix}" for suffix in ("", "_mm") for name in (*examples.metrics, "combined_score", "loss")]
    known = f"GLUE {examples.task.name}" if examples.task else ""
    return about_data(
        CLASSIFICATION.hub_task, data_args, known, HUB_DATASET if known else None, figures, "max_seq_length"
    )

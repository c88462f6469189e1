"""GLUE and look-alikes: the nine tasks as a table, and three sources that end in the same `Examples`.

Sources: the Hub, a folder in the layout of the official download, or csv/json files of the user.
Reading never needs a model; labels are checked here, row by row, before anything else happens.
"""

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..extras import require
from .hub import load_splits
from .labels import is_labelled, label_names, label_value
from .tabular import PLACE, DataError, Row, check_text, columns_of, read_table, read_tsv


logger = logging.getLogger(__name__)

HUB_DATASET = "nyu-mll/glue"
NO_TEXT = ("label", "idx", "id", "uid", "index", "")  # columns; the last: the index of a table that pandas wrote
UNNAMED = "Unnamed:"
BINARY = ("0", "1")
ENTAILED = ("entailment", "not_entailment")


@dataclass(frozen=True)
class Task:
    """One GLUE task.

    Attributes:
        folder: its folder in the official download; test predictions are named after it, too.
        text: names of the one or two text columns, as on the Hub.
        labels: class names in the order of their ids on the Hub; empty for regression.
        metrics: names out of `ginets.metrics.glue.METRICS`; the first one selects the best checkpoint.
        tsv: columns of the official files that are spelt differently there: Hub name → TSV name.
        tsv_labels: how the official files spell the labels, in id order, where not like `labels`.
        tsv_header: columns of official train and dev files without a header line.
        skip_short_rows: the official file has broken rows, which the Hub's copy leaves out.
    """

    name: str
    folder: str
    text: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    tsv: tuple[tuple[str, str], ...] = ()
    tsv_labels: tuple[str, ...] = ()
    tsv_header: tuple[str, ...] = ()
    skip_short_rows: bool = False

    @property
    def evaluations(self) -> dict[str, str]:
        """Suffix of the metrics → split they are computed on: MNLI has a second, mismatched one."""
        return self._splits("validation")

    @property
    def tests(self) -> dict[str, str]:
        """As `evaluations`, for the test splits."""
        return self._splits("test")

    @property
    def spelling(self) -> tuple[str, ...]:
        """How official files, and so submissions, spell the labels."""
        return self.tsv_labels or self.labels

    def _splits(self, kind: str) -> dict[str, str]:
        return {"": f"{kind}_matched", "_mm": f"{kind}_mismatched"} if self.name == "mnli" else {"": kind}


PAIR = ("sentence1", "sentence2")
TASKS = {
    task.name: task
    for task in (
        Task("cola", "CoLA", ("sentence",), ("unacceptable", "acceptable"), ("matthews_correlation",),
             tsv_labels=BINARY, tsv_header=("source", "label", "mark", "sentence")),
        Task("sst2", "SST-2", ("sentence",), ("negative", "positive"), ("accuracy",), tsv_labels=BINARY),
        Task("mrpc", "MRPC", PAIR, ("not_equivalent", "equivalent"), ("accuracy", "f1"), tsv_labels=BINARY,
             tsv=(("sentence1", "#1 String"), ("sentence2", "#2 String"), ("label", "Quality"))),
        Task("qqp", "QQP", ("question1", "question2"), ("not_duplicate", "duplicate"), ("accuracy", "f1"),
             tsv=(("label", "is_duplicate"),), tsv_labels=BINARY, skip_short_rows=True),
        Task("stsb", "STS-B", PAIR, (), ("pearson", "spearmanr"), tsv=(("label", "score"),)),
        Task("mnli", "MNLI", ("premise", "hypothesis"), ("entailment", "neutral", "contradiction"), ("accuracy",),
             tsv=(("premise", "sentence1"), ("hypothesis", "sentence2"), ("label", "gold_label"))),
        Task("qnli", "QNLI", ("question", "sentence"), ENTAILED, ("accuracy",)),
        Task("rte", "RTE", PAIR, ENTAILED, ("accuracy",)),
        Task("wnli", "WNLI", PAIR, ("not_entailment", "entailment"), ("accuracy",), tsv_labels=BINARY),
    )
}  # fmt: skip
TSV_NAMES = {"train": "train", "validation": "dev", "test": "test"}
TEXT_COLUMNS = (PAIR, ("question1", "question2"), ("premise", "hypothesis"), ("question", "sentence"),
                ("sentence",), ("text",))  # fmt: skip


def find_task(name: str) -> Task:
    """The task called `name` (case does not matter), or a `DataError` that lists all of them."""
    if name.lower() not in TASKS:
        raise DataError(f"--task_name is {name!r}; the tasks are {', '.join(TASKS)}.")
    return TASKS[name.lower()]


@dataclass
class Examples:
    """What every source delivers.

    Attributes:
        splits: split name → `datasets.Dataset` with the text columns, `label` (class id, or a float score; absent in
            unlabelled test splits) and `idx` (position in its source).
        text: the one or two text columns.
        labels: class names in id order; empty for regression.
        task: the GLUE task, if it is one.
    """

    splits: dict
    text: tuple[str, ...]
    labels: tuple[str, ...]
    task: Task | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics to compute; the first one selects the best checkpoint."""
        if self.task:
            return self.task.metrics
        return ("accuracy",) if self.labels else ("pearson", "spearmanr")


def load_folder(task: Task, glue_dir: str | os.PathLike, splits: Iterable[str]) -> Examples:
    """Read `splits` of a task from a folder in the official layout (`<glue_dir>/MRPC/train.tsv`, ...)."""
    spelt = dict(task.tsv)
    loaded = {}
    for split in splits:
        kind, _, half = split.partition("_")
        path = Path(glue_dir) / task.folder / f"{TSV_NAMES[kind]}{'_' * bool(half)}{half}.tsv"
        header = task.tsv_header if kind != "test" else ()
        rows, skipped = read_tsv(path, header, task.skip_short_rows)
        if skipped:
            logger.warning("%s: left out %d incomplete rows (lines %s).", path, len(skipped), skipped[:10])
        text = {name: spelt.get(name, name) for name in task.text}
        label = None if kind == "test" else spelt.get("label", "label")
        loaded[split] = _dataset(rows, path, text, label, task.labels, task.spelling)
    return Examples(loaded, task.text, task.labels, task)


def load_files(
    files: dict[str, str], task: Task | None = None, labels: Sequence[str] = (), needs_label: Iterable[str] = ()
) -> Examples:
    """Read the user's csv/json files.

    Args:
        files: split → file.
        task: gives the text columns, labels and metrics. Without it the text columns are found by their usual names,
            and the labels are those of the training file: numbers with a decimal point mean regression.
            Spaces around a label do not count.
        labels: class names to use when there is neither a task nor a training file.
        needs_label: splits that are of no use without a `label` column.
    """
    tables = {split: read_table(path) for split, path in files.items()}
    first = next(iter(files))
    text = task.text if task else _find_text(columns_of(tables[first]), files[first])
    if task:
        labels = task.labels
    elif "train" in tables:
        labels = label_names(tables["train"], files["train"])
    spelling = tuple(task.spelling) if task else ()
    loaded = {}
    for split, rows in tables.items():
        labelled = split in needs_label or is_labelled(rows)
        columns = dict(zip(text, text, strict=True))
        loaded[split] = _dataset(rows, files[split], columns, "label" if labelled else None, labels, spelling)
    return Examples(loaded, tuple(text), tuple(labels), task)


def load_hub(
    task: Task | None,
    splits: Iterable[str],
    dataset: str = HUB_DATASET,
    subset: str | None = None,
    needs_label: Iterable[str] = (),
    **options,
) -> Examples:
    """Read `splits` from a dataset on the Hub (or a folder that `datasets.load_dataset` understands).

    `options` go to `datasets.load_dataset` (`cache_dir`, `token`). Raises `DataError` if it cannot be had.
    """
    subset = subset or (task.name if task and dataset == HUB_DATASET else None)
    instead = "Local data can be given with --glue_dir, or --train_file and --validation_file."
    raw = load_splits(dataset, subset, splits, instead, **options)
    text = task.text if task else _find_text(list(raw[next(iter(splits))].column_names), dataset)
    names = task.labels if task else ()
    first = raw["train" if "train" in raw else next(iter(splits))]
    if not task and "label" in first.column_names:
        declared = tuple(getattr(first.features["label"], "names", ()))
        names = declared if len(declared) > 1 else label_names(_numbered(first), dataset)
    loaded = {}
    for split in splits:
        rows = _numbered(raw[split])
        labelled = split in needs_label or is_labelled(rows)
        columns = dict(zip(text, text, strict=True))
        loaded[split] = _dataset(rows, f"{dataset} ({split})", columns, "label" if labelled else None, names)
    return Examples(loaded, tuple(text), tuple(names), task)


def _numbered(dataset) -> list[Row]:
    return [{**row, PLACE: f"row {number}"} for number, row in enumerate(dataset, start=1)]


def _dataset(
    rows: Sequence[Row],
    source: str | os.PathLike,
    text: dict[str, str],
    label: str | None,
    names: Sequence[str],
    spelling: Sequence[str] = (),
):
    """Check the rows of one split and turn them into a `datasets.Dataset`; `text` maps our names to theirs."""
    wanted = [*text.values(), *([label] if label else [])]
    if missing := [column for column in wanted if column not in rows[0]]:
        raise DataError(
            f"{source}: there is no column {missing[0]!r}; it has {', '.join(columns_of(rows))}. "
            f"Rename the column, or choose the task (--task_name) that fits the data."
        )
    columns: dict[str, list] = {"idx": list(range(len(rows)))}
    for ours, theirs in text.items():
        for row in rows:
            check_text(row[theirs], f"{source}, {row[PLACE]}: {theirs}")
        columns[ours] = [row[theirs] for row in rows]
    if label:
        ids = {name: i for spelt in (spelling, names) for i, name in enumerate(spelt)}
        if not any(name.isdecimal() for name in ids):
            ids |= {str(i): i for i in range(len(names))}
        columns["label"] = [label_value(row[label], ids, f"{source}, {row[PLACE]}") for row in rows]
    return require("datasets", extra="train").Dataset.from_dict(columns)


def _find_text(columns: Sequence[str], source: str | os.PathLike) -> tuple[str, ...]:
    """The usual text columns of a file without a task, or else its one or two columns that are no label or index."""
    for candidate in TEXT_COLUMNS:
        if set(candidate) <= set(columns):
            return candidate
    others = tuple(column for column in columns if column not in NO_TEXT and not column.startswith(UNNAMED))
    if len(others) in (1, 2):
        logger.info("%s: texts are those of %s.", source, " and ".join(others))
        return others
    raise DataError(
        f"{source}: cannot tell the text columns among {', '.join(columns)}; "
        "name them sentence1 and sentence2 (or sentence), or give --task_name."
    )

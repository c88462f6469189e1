"""From data arguments to tokenised splits: which source to read, which splits are needed, how texts become ids."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from ..data.glue import HUB_DATASET, TASKS, Examples, Task, find_task, load_files, load_folder, load_hub
from .arguments import ArgumentsError, ModelArguments, RecipeTrainingArguments, option


HOLDOUT_SEED = 0


@dataclass
class DataArguments:
    """Which data, and how much of it."""

    task_name: str | None = option(f"GLUE task: {', '.join(TASKS)}.")
    glue_dir: str | None = option("Folder in the layout of the official download: CoLA/train.tsv, SST-2/dev.tsv, ...")
    dataset_name: str | None = option(f"Dataset on the Hub [default: {HUB_DATASET}, with --task_name].")
    dataset_config_name: str | None = option("Its configuration.")
    train_file: str | None = option("Training data: .csv, .json or .jsonl with text columns and `label`.")
    validation_file: str | None = option("Data to evaluate on, in the same form.")
    test_file: str | None = option("Data to predict, with or without `label`.")
    holdout: float | None = option(
        "Evaluate on this share of the training set, which is not trained on then, and not on the validation set: to "
        "choose settings. The share is the same rows whatever --seed is."
    )
    max_seq_length: int = option("Longer inputs are cut to this many tokens.", 128)
    pad_to_max_length: bool = option("Pad all inputs to max_seq_length, instead of to the longest in a batch.", False)
    max_train_samples: int | None = option("Use only the first rows for training.")
    max_eval_samples: int | None = option("Use only the first rows for evaluation.")
    max_predict_samples: int | None = option("Use only the first rows for prediction.")
    overwrite_cache: bool = option("Accepted as in the stock script; no tokenised copy is ever cached.", False)

    def __post_init__(self):
        for name in ("max_seq_length", "max_train_samples", "max_eval_samples", "max_predict_samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentsError(f"--{name} is {value}; it must be at least 1.")
        if self.holdout is not None and not 0 < self.holdout < 1:
            raise ArgumentsError(f"--holdout is {self.holdout}; allowed: more than 0 and less than 1.")
        if self.holdout and self.validation_file:
            raise ArgumentsError("both --validation_file and --holdout are given; choose what to evaluate on.")
        if self.files and (self.glue_dir or self.dataset_name):
            other = "glue_dir" if self.glue_dir else "dataset_name"
            raise ArgumentsError(f"both --{next(iter(self.files))}_file and --{other} are given; choose one source.")
        if self.glue_dir and not self.task_name:
            raise ArgumentsError(f"--glue_dir needs --task_name, one of {', '.join(TASKS)}.")

    @property
    def files(self) -> dict[str, str]:
        """Split → file of the user."""
        files = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {split: path for split, path in files.items() if path}

    @property
    def task(self) -> Task | None:
        return find_task(self.task_name) if self.task_name else None

    @property
    def evaluations(self) -> dict[str, str]:
        """Metric suffix → split to evaluate on."""
        known = self.task and not self.files and not self.holdout
        return self.task.evaluations if known else {"": "validation"}

    @property
    def tests(self) -> dict[str, str]:
        """Suffix → split to predict."""
        return self.task.tests if self.task and not self.files else {"": "test"}


def load_examples(
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
    model_args: ModelArguments,
    head: Callable[[], tuple[str, ...]],
) -> Examples:
    """Read and check the splits that the run needs. `head` gives the classes of the model where the data does not.

    Raises:
        ArgumentsError: nothing to do, no source, or a file is missing for what is to be done.
        DataError: the data cannot be used.
    """
    evaluated = list(data_args.evaluations.values()) if training_args.do_eval else []
    predicted = list(data_args.tests.values()) if training_args.do_predict else []
    if data_args.holdout:
        evaluated = ["train"] * training_args.do_eval
    wanted = list(dict.fromkeys(["train"] * training_args.do_train + evaluated + predicted))
    if not wanted:
        raise ArgumentsError("nothing to do; give --do_train, --do_eval or --do_predict.")
    examples = read_splits(data_args, model_args, wanted, predicted, head)
    return hold_out(examples, data_args.holdout) if data_args.holdout and "train" in wanted else examples


def hold_out(examples: Examples, share: float) -> Examples:
    """`examples` whose training set has given a share of its rows, always the same, to be the validation set."""
    try:
        parts = examples.splits["train"].train_test_split(test_size=share, seed=HOLDOUT_SEED)
    except ValueError as error:
        count = len(examples.splits["train"])
        raise ArgumentsError(
            f"--holdout is {share}; of {count} rows that leaves none for one of the parts."
        ) from error
    return replace(examples, splits=examples.splits | {"train": parts["train"], "validation": parts["test"]})


def read_splits(
    data_args: DataArguments,
    model_args: ModelArguments,
    wanted: list[str],
    predicted: list[str],
    head: Callable[[], tuple[str, ...]],
) -> Examples:
    """Read splits from the source that the arguments name; those to be predicted need no label."""
    task = data_args.task
    needs_label = [split for split in wanted if split not in predicted]
    if data_args.files:
        if missing := [split for split in wanted if split not in data_args.files]:
            doing = {"train": "do_train", "validation": "do_eval", "test": "do_predict"}[missing[0]]
            raise ArgumentsError(f"--{doing} needs --{missing[0]}_file.")
        # The training file is read also where only its labels are needed.
        files = {split: path for split, path in data_args.files.items() if split in wanted or split == "train"}
        labels = () if task or "train" in files else head()
        return load_files(files, task, labels, needs_label)
    if data_args.glue_dir:
        return load_folder(task, data_args.glue_dir, wanted)
    if not (task or data_args.dataset_name):
        raise ArgumentsError("no data; give --task_name, --dataset_name, or --train_file and --validation_file.")
    return load_hub(
        task,
        wanted,
        data_args.dataset_name or HUB_DATASET,
        data_args.dataset_config_name,
        needs_label,
        cache_dir=model_args.cache_dir,
        token=model_args.token,
    )


def tokenize(
    examples: Examples, tokenizer: PreTrainedTokenizerBase, data_args: DataArguments, longest: int | None = None
) -> dict:
    """Splits as `datasets.Dataset` with `input_ids`, `attention_mask`, ..., `length` in tokens, `label` and `idx`.

    All but `train` are sorted by length, longest first, so that batches in order waste little padding; `idx` leads
    back to the order of the source. `longest` is the longest input in tokens [default: as the arguments say].
    """
    longest = longest or data_args.max_seq_length

    padding = "max_length" if data_args.pad_to_max_length else False

    def encode(batch: dict) -> dict:
        encoded = tokenizer(
            *(batch[name] for name in examples.text), padding=padding, max_length=longest, truncation=True
        )
        return {**encoded, "length": [len(ids) for ids in encoded["input_ids"]]}

    limits = {"train": data_args.max_train_samples, "validation": data_args.max_eval_samples,
              "test": data_args.max_predict_samples}  # fmt: skip
    tokenized = {}
    for split, rows in examples.splits.items():
        count = limits[split.partition("_")[0]]
        rows = rows.select(range(min(count, len(rows)))) if count else rows
        rows = rows.map(encode, batched=True, desc=f"Tokenizing {split}", remove_columns=list(examples.text))
        tokenized[split] = rows if split == "train" else rows.sort("length", reverse=True)
    return tokenized

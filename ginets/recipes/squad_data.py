"""From data arguments to windows of questions and contexts: which source to read, which splits are needed."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
from transformers import PreTrainedTokenizerBase

from ..data.squad import HUB_DATASETS, load_files, load_hub
from ..data.squad_features import build_features
from ..metrics.squad import evaluate_v1, evaluate_v2
from ..metrics.squad_answers import Answers, read_answers
from .arguments import ArgumentsError, ModelArguments, RecipeTrainingArguments, check_range, option, switch


SHORT_NAMES = {"squad": HUB_DATASETS[False], "squad_v2": HUB_DATASETS[True]}
LEAST = {
    "max_seq_length": 1, "doc_stride": 0, "n_best_size": 1, "max_answer_length": 1,
    "max_train_samples": 1, "max_eval_samples": 1, "max_predict_samples": 1,
}  # fmt: skip
DOING = {"train": "do_train", "validation": "do_eval", "test": "do_predict"}


@dataclass
class DataArguments:
    """Which data, how it is cut into windows, and how answers are read."""

    dataset_name: str | None = option("Dataset on the Hub: squad, squad_v2 or one with the same columns.")
    dataset_config_name: str | None = option("Its configuration.")
    train_file: str | None = option("Training data: official .json, or .csv, .json, .jsonl with a question per row.")
    validation_file: str | None = option("Data to evaluate on, in the same form.")
    test_file: str | None = option("Data to predict, with or without `answers`.")
    version_2_with_negative: bool | None = switch(
        "Some questions have no answer [default: yes, if a question to train or to evaluate on has none]."
    )
    max_seq_length: int = option("Tokens of a window: question, piece of the context, special tokens.", 384)
    doc_stride: int = option("Tokens that two windows of a long context share.", 128)
    pad_to_max_length: bool = option("Pad all windows to max_seq_length, instead of to the longest in a batch.", False)
    n_best_size: int = option("How many starts and ends are paired, and how many answers are kept of a question.", 20)
    max_answer_length: int = option("The longest answer, in tokens.", 30)
    null_score_diff_threshold: float = option(
        "Predict no answer if its score exceeds that of the best answer by more than this.", 0.0
    )
    max_train_samples: int | None = option("Use only the first questions for training.")
    max_eval_samples: int | None = option("Use only the first questions for evaluation.")
    max_predict_samples: int | None = option("Use only the first questions for prediction.")
    preprocessing_num_workers: int | None = option("Accepted as in the stock script; one process is fast enough.")
    overwrite_cache: bool = option("Accepted as in the stock script; no tokenised copy is ever cached.", False)

    def __post_init__(self):
        for name, least in LEAST.items():
            check_range(name, getattr(self, name), least)
        if self.files and self.dataset_name:
            raise ArgumentsError(
                f"both --{next(iter(self.files))}_file and --dataset_name are given; choose one source."
            )

    @property
    def files(self) -> dict[str, str]:
        """Split → file of the user."""
        files = {"train": self.train_file, "validation": self.validation_file, "test": self.test_file}
        return {split: path for split, path in files.items() if path}

    @property
    def limits(self) -> dict[str, int | None]:
        """Split → how many questions of it are used."""
        return {"train": self.max_train_samples, "validation": self.max_eval_samples, "test": self.max_predict_samples}


@dataclass
class Split:
    """Questions to answer, their windows, and how the answers are scored.

    Attributes:
        examples: the questions, as `ginets.data.squad` gives them.
        features: their windows, longest first, so that batches in order waste little padding.
        order: for each window of `features`, its place in the order of the questions.
        version_2: by the rules of SQuAD 2.0.
        reading: options of `read_answers`.
    """

    examples: object
    features: object
    order: np.ndarray
    version_2: bool
    reading: dict = field(default_factory=dict)

    def read(self, logits: tuple[np.ndarray, np.ndarray]) -> Answers:
        """Answers from the start and end logits of `features`, each `(windows, length)`."""
        back = np.argsort(self.order)
        starts, ends = (each[back] for each in logits[:2])
        return read_answers(self.examples, self.features.select(back), (starts, ends), self.version_2, **self.reading)

    def lacking(self) -> tuple[str, ...]:
        """Beginnings of the figures that these questions do not have: those of a kind that is not among them."""
        kinds = {"HasAns" if answers["text"] else "NoAns" for answers in self.examples["answers"]}
        return tuple({"HasAns", "NoAns"} - kinds)

    def score(self, answers: Answers) -> dict[str, float]:
        """The official figures; none where the answers are not known.

        Those with `best_` are what the best threshold gives, found on these very questions.
        """
        if "answers" not in self.examples.column_names:
            return {}
        golds = {row["id"]: row["answers"]["text"] for row in self.examples.select_columns(["id", "answers"])}
        if not self.version_2:
            return evaluate_v1(golds, answers.predictions)
        swept = evaluate_v2(golds, answers.spans, answers.null_odds)
        best = {name: value for name, value in swept.items() if name.startswith("best_")}
        return evaluate_v2(golds, answers.predictions) | best


def load_examples(
    data_args: DataArguments, training_args: RecipeTrainingArguments, model_args: ModelArguments
) -> dict:
    """Read and check the splits that the run needs: split → `datasets.Dataset`.

    Raises:
        ArgumentsError: nothing to do, no source, or a file is missing for what is to be done.
        DataError: the data cannot be used.
    """
    wanted = [split for split, doing in DOING.items() if getattr(training_args, doing)]
    if not wanted:
        raise ArgumentsError("nothing to do; give --do_train, --do_eval or --do_predict.")
    answered = [split for split in wanted if split != "test"]
    if data_args.files:
        if missing := [split for split in wanted if split not in data_args.files]:
            raise ArgumentsError(f"--{DOING[missing[0]]} needs --{missing[0]}_file.")
        loaded = load_files({split: data_args.files[split] for split in wanted}, answered)
    elif data_args.dataset_name:
        name = SHORT_NAMES.get(data_args.dataset_name, data_args.dataset_name)
        options = {"cache_dir": model_args.cache_dir, "token": model_args.token}
        loaded = load_hub(name, wanted, data_args.dataset_config_name, answered, **options)
    else:
        raise ArgumentsError("no data; give --dataset_name, or --train_file and --validation_file.")
    for split, limit in data_args.limits.items():
        if split in loaded and limit:
            loaded[split] = loaded[split].select(range(min(limit, len(loaded[split]))))
    return loaded


def has_unanswerable(examples: dict) -> bool:
    """Whether a question to train or to evaluate on has no answer."""
    splits = (rows for split, rows in examples.items() if split != "test")
    return any(not answers["text"] for rows in splits for answers in rows["answers"])


def is_version_2(examples: dict, data_args: DataArguments) -> bool:
    """Whether questions may have no answer.

    Raises:
        ArgumentsError: they may not, but one has none.
    """
    unanswerable = has_unanswerable(examples)
    version_2 = unanswerable if data_args.version_2_with_negative is None else data_args.version_2_with_negative
    if unanswerable and not version_2:
        raise ArgumentsError("--version_2_with_negative is False, but there are questions without an answer.")
    return version_2


def make_splits(
    examples: dict, tokenizer: PreTrainedTokenizerBase, data_args: DataArguments, longest: int
) -> tuple[object, dict[str, Split]]:
    """Windows to train on (or None), and the splits to answer.

    Args:
        longest: tokens of a window.

    Raises:
        ArgumentsError: by the rules of 1.1, but a question has no answer.
    """
    version_2 = is_version_2(examples, data_args)
    asked = examples.get("test")
    known = asked["answers"] if asked is not None and "answers" in asked.column_names else ()
    if not version_2 and not all(answers["text"] for answers in known):
        raise ArgumentsError(
            "there are questions without an answer to predict; give --version_2_with_negative, or leave out the column "
            "answers where they are not known."
        )
    build = partial(build_features, tokenizer=tokenizer, max_seq_length=longest, doc_stride=data_args.doc_stride)
    names = ("n_best_size", "max_answer_length", "null_score_diff_threshold")
    reading = {name: getattr(data_args, name) for name in names}
    train = build(examples["train"], labels=True) if "train" in examples else None
    splits = {}
    for split, rows in examples.items():
        if split != "train":
            features = build(rows, labels="answers" in rows.column_names, characters=True)
            order = np.argsort(-np.asarray(features["length"]), kind="stable")
            splits[split] = Split(rows, features.select(order), order, version_2, reading)
    return train, splits

"""Arguments of the data that every language-model task shares, and the way from its rows to batches."""

# ruff: noqa: RUF009 — `option` is `dataclasses.field` with a help text

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from transformers import EvalPrediction, PreTrainedTokenizerBase

from ..data.packing import pack
from ..data.segments import IGNORED, Segments, encode
from .arguments import ArgumentsError, RecipeTrainingArguments, check_range, option


LARGEST = math.log(sys.float_info.max)  # mean loss with a perplexity that is a number


@dataclass
class CausalDataArguments:
    """Which data, and how it is laid out."""

    train_file: list[str] | None = option("Training data; several files are put together.")
    validation_file: list[str] | None = option("Data to evaluate on, in the same form.")
    validation_rows: int | None = option("Without a validation file: hold out that many training rows, by --seed.")
    max_seq_length: int = option("Longer rows are cut to this many tokens.", 512)
    packing: bool = option("Several rows in one, without padding; not every architecture can.", False)
    train_on_prompt: bool = option("Learn to write the prompt as well, not only the answer.", False)
    max_train_samples: int | None = option("Use only the first rows for training.")
    max_eval_samples: int | None = option("Use only the first rows for evaluation.")

    def __post_init__(self):
        for name in ("validation_rows", "max_seq_length", "max_train_samples", "max_eval_samples"):
            check_range(name, getattr(self, name), 1)
        if self.validation_rows and self.validation_file:
            raise ArgumentsError("--validation_rows is for runs without --validation_file; give one of them.")
        if self.files and getattr(self, "dataset_name", None):
            raise ArgumentsError(
                f"both --{next(iter(self.files))}_file and --dataset_name are given; choose one source."
            )

    @property
    def files(self) -> dict[str, list[str]]:
        """Split → files of the user."""
        files = {"train": self.train_file, "validation": self.validation_file}
        return {split: paths for split, paths in files.items() if paths}

    @property
    def limits(self) -> dict[str, int | None]:
        return {"train": self.max_train_samples, "validation": self.max_eval_samples}


@dataclass(frozen=True)
class CausalTask:
    """A task of language models: rows of a source → segments to read and to write.

    Attributes:
        name: on the command line, `ginets train NAME`, and of the folder of its recipes.
        data_arguments: its dataclass of arguments, a `CausalDataArguments`.
        load: `(data_args, splits, tokenizer, **hub options)` → split → rows.
    """

    name: str
    data_arguments: type[CausalDataArguments]
    load: Callable[..., dict[str, Sequence[Segments]]]


def load_rows(
    task: CausalTask,
    data_args: CausalDataArguments,
    training_args: RecipeTrainingArguments,
    tokenizer: PreTrainedTokenizerBase,
    **hub_options,
) -> dict[str, Sequence[Segments]]:
    """The rows of the splits that the run needs: `train`, `validation`.

    Raises:
        ArgumentsError: nothing to do, or no data for it.
        DataError: the data cannot be used.
    """
    if training_args.do_predict:
        raise ArgumentsError("--do_predict is not for language models; `ginets generate` writes answers.")
    if not (training_args.do_train or training_args.do_eval):
        raise ArgumentsError("nothing to do; give --do_train or --do_eval.")
    held_out = data_args.validation_rows  # also where nothing is evaluated: a later run may evaluate on them
    wanted = ["train"] * bool(training_args.do_train or held_out)
    wanted += ["validation"] * bool(training_args.do_eval and not held_out)
    rows = task.load(data_args, wanted, tokenizer, **hub_options)
    if held_out:
        rows = hold_out(rows["train"], data_args.validation_rows, training_args.seed)
    for split, limit in data_args.limits.items():
        if split in rows and limit:
            rows[split] = rows[split][:limit]
    needed = {"train": training_args.do_train, "validation": training_args.do_eval}
    return {split: rows[split] for split, does in needed.items() if does}


def hold_out(rows: Sequence[Segments], count: int, seed: int) -> dict[str, list[Segments]]:
    """Split off `count` different rows, drawn with `seed`; both parts keep their order.

    Rows that occur several times stay together: all in training, or once in validation.
    """
    different = list(dict.fromkeys(rows))
    if count >= len(different):
        raise ArgumentsError(
            f"--validation_rows is {count}; there are {len(different)} different rows, and some must be left."
        )
    draw = torch.randperm(len(different), generator=torch.Generator().manual_seed(seed))[:count]
    drawn = {different[at] for at in draw.tolist()}
    parts = {"train": [row for row in rows if row not in drawn]}
    return parts | {"validation": [row for row in different if row in drawn]}


def make_features(
    rows: Mapping[str, Sequence[Segments]],
    tokenizer: PreTrainedTokenizerBase,
    data_args: CausalDataArguments,
    longest: int,
) -> dict:
    """Rows as token ids; training rows packed if asked for, validation rows by length, longest first."""
    features = {split: encode(each, tokenizer, longest, data_args.train_on_prompt) for split, each in rows.items()}
    if "train" in features and data_args.packing:
        features["train"] = pack(features["train"], longest)
    if "validation" in features:
        features["validation"] = features["validation"].sort("length", reverse=True)
    return features


@dataclass(frozen=True)
class CompletionLoss:
    """Cross-entropy of the labelled tokens, each given those before it; the `compute_loss_func` of a `Trainer`.

    `(1 − ε)·nll + ε·mean(−log p)` per token, ε the label smoothing in training and 0 in evaluation.
    """

    label_smoothing: float = 0.0

    def __call__(self, outputs, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None):
        """Sum over the labelled tokens / their number in the whole batch (in this one, if not given)."""
        logits = outputs.logits[..., :-1, :].float()
        targets = labels[..., 1:].to(logits.device)
        smoothing = self.label_smoothing if torch.is_grad_enabled() else 0.0
        total = F.cross_entropy(
            logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        )
        count = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        return total / (count.to(total.device) if torch.is_tensor(count) else count)


def token_losses(logits: torch.Tensor | tuple, labels: torch.Tensor) -> torch.Tensor:
    """`(batch, 2)`: of each row the summed loss of its labelled tokens, and their number.

    The `preprocess_logits_for_metrics` of a `Trainer`: whole logits would not fit.
    """
    logits = (logits[0] if isinstance(logits, tuple) else logits)[..., :-1, :].float()
    targets = labels[..., 1:]
    losses = F.cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="none")
    return torch.stack([losses.view(targets.shape).sum(-1), (targets != IGNORED).sum(-1)], -1)


def perplexity(prediction: EvalPrediction) -> dict[str, float]:
    """The mean loss per token over all rows, from `token_losses`, and its exp; infinite where that has no number.

    Whatever the batches: `eval_loss` of the Trainer is a mean over batches of different lengths.
    """
    total, count = prediction.predictions.astype("float64").sum(0)
    mean = float(total / count)
    return {"loss": mean, "perplexity": math.inf if mean > LARGEST else math.exp(mean), "tokens": float(count)}

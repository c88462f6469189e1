"""Command-line arguments that every training recipe shares, as dataclasses whose fields carry their help.

`parse` reads the command line. Files of arguments and recipes are turned into command-line words first
(`recipe_files.py`), so all are checked by the same parser.
"""

# ruff: noqa: RUF009 — `option` and `switch` are `dataclasses.field` with a help text

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from math import inf
from typing import Literal

import torch
from transformers import HfArgumentParser, TrainingArguments
from transformers.integrations import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from .recipe_files import ArgumentsError, expand


logger = logging.getLogger(__name__)
TASK_METRIC = "task"
# the least and the largest value of numbers that would otherwise fail in the middle of a run
RANGES = {
    "learning_rate": (0, inf), "weight_decay": (0, inf), "num_train_epochs": (0, inf), "label_smoothing_factor": (0, 1),
    "per_device_train_batch_size": (1, inf), "per_device_eval_batch_size": (1, inf),
    "gradient_accumulation_steps": (1, inf), "early_stopping_patience": (1, inf),
}  # fmt: skip


def check_range(name: str, value: float | None, least: float, largest: float = inf) -> None:
    """Raise `ArgumentsError` for a number that is given and out of range."""
    if value is not None and not least <= value <= largest:
        allowed = f"at least {least}" if largest == inf else f"{least} to {largest}"
        raise ArgumentsError(f"--{name} is {value}; allowed: {allowed}.")


def check_trackers(names: Sequence[str]) -> None:
    """Raise `ArgumentsError` for one that the `Trainer` would stop at, once data and weights have been read."""
    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join(INTEGRATION_TO_CALLBACK)
            raise ArgumentsError(f"--report_to is {name!r}; allowed: none, all, {known}.")
        # transformers does not say of flyte whether it is there
        if name != "flyte" and name not in get_available_reporting_integrations():
            raise ArgumentsError(f"--report_to is {name!r}, and its package is not installed.")


def emulates_bfloat16() -> bool:
    """Whether products of bfloat16 matrices have no instructions on this processor: then they take tens of times longer."""
    backend = torch.backends.mkldnn
    return backend.is_available() and not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def option(help: str, default=None, **more):
    """A dataclass field with its help text; `more` goes to `argparse`."""
    return field(default=default, metadata={"help": help, **more})


def switch(help: str):
    """A yes/no field that is unset by default: `--name` alone means yes."""
    return option(help, nargs="?", const=True)


@dataclass
class ModelArguments:
    """Which model, tokenizer and config to start from."""

    model_name_or_path: str | None = option("Pretrained model: a local folder or a name on the Hub. Required.")
    config_name: str | None = option("Config to use instead of the model's own, e.g. a folder with gate flags added.")
    tokenizer_name: str | None = option("Tokenizer, if it is not the model's own.")
    cache_dir: str | None = option("Where to keep what is fetched from the Hub.")
    use_fast_tokenizer: bool = option("Use the tokenizer in Rust, where there is one.", True)
    model_revision: str = option("Branch, tag or commit on the Hub.", "main")
    token: str | None = option("Access token for the Hub; by default the one of `hf auth login`.")
    trust_remote_code: bool = option("Run model code from the Hub repository. Read that code first.", False)
    ignore_mismatched_sizes: bool = option("Start with a new head if the checkpoint's does not fit the task.", False)
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = option(
        "Precision of the weights; `auto` keeps that of the checkpoint.", "float32"
    )
    attn_implementation: str | None = option(
        "How attention is computed: `sdpa`, `eager` (often faster in training on a CPU), `flash_attention_2` and others "
        "of transformers. By default what suits the model."
    )
    quantization: Literal["nf4", "int8"] | None = option(
        "Keep the weights of the base in 4 or 8 bits (QLoRA); needs --adapter and bitsandbytes."
    )

    @property
    def hub_options(self) -> dict:
        """What every `from_pretrained` gets."""
        return {
            "cache_dir": self.cache_dir,
            "revision": self.model_revision,
            "token": self.token,
            "trust_remote_code": self.trust_remote_code,
        }


@dataclass
class GateArguments:
    """Flags of the inhibition mechanisms. Those that are given override the config; the config decides the rest."""

    gi_query_side: bool | None = switch("Gate the query projection.")
    gi_key_side: bool | None = switch("Gate the key projection.")
    inhibition_level: float | None = option("p, the share of the maximum that is subtracted: 0 <= p < 1.")
    gi_layer_num: int | None = option("Number of layers, counted from the last, that carry the mechanism.")
    inhibition_scope: str | None = option("What the maximum runs over: `token` (its features) or `batch`.")
    gi_rank: int | None = option("Hidden width of the gate's two-layer map.")
    ina_rank: int | None = option("Width r of the inhibited low-rank branch (Llama).")
    ina_alpha: float | None = option("The branch is scaled by ina_alpha / ina_rank (Llama).")
    ina_dropout: float | None = option("Dropout on the input of the branch (Llama).")
    ina_target_modules: list[str] | None = option("Projections that get a branch, e.g. q_proj v_proj (Llama).")

    @property
    def given(self) -> dict:
        """The flags that the user wrote."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


# flags of `TrainingArguments` that an evaluation cannot have: the value that it can, and why
UNSUPPORTED = {
    "dataloader_drop_last": (False, "would leave rows out of the evaluation"),
    "prediction_loss_only": (False, "there would be nothing to score"),
    "eval_do_concat_batches": (True, "figures are those of the whole split"),
    "batch_eval_metrics": (False, "figures are those of the whole split"),
}


@dataclass
class RecipeTrainingArguments(TrainingArguments):
    """`TrainingArguments` with the defaults of the recipes.

    With both `do_train` and `do_eval`: evaluate and save after each epoch and end with the best checkpoint by the
    task's own metric. Batches are made of examples of similar length.
    """

    eval_strategy: IntervalStrategy | None = option(
        "When to evaluate [default: epoch, when --do_train and --do_eval]."
    )
    save_strategy: SaveStrategy | None = option("When to save a checkpoint [default: epoch, when --do_train].")
    logging_strategy: IntervalStrategy = option("When to log the training loss.", IntervalStrategy.EPOCH)
    load_best_model_at_end: bool | None = switch("End with the best checkpoint [default: yes, if one is evaluated].")
    metric_for_best_model: str | None = option("What selects it; `task` is the task's own metric.", TASK_METRIC)
    save_total_limit: int | None = option("Checkpoints to keep, the best one among them.", 2)
    train_sampling_strategy: str = option(
        "Order of training examples.",
        "group_by_length",
        choices=["random", "sequential", "group_by_length", "batch_rebalance"],
    )
    restore_callback_states_from_checkpoint: bool = option(
        "Resume early stopping where it was, with its old patience.", True
    )
    resume_from_checkpoint: str | None = option("Checkpoint folder to go on from; `auto`: the last in --output_dir.")
    early_stopping_patience: int | None = option("Stop after this many evaluations without improvement.")

    def __post_init__(self):
        for name, (least, largest) in RANGES.items():
            check_range(name, getattr(self, name), least, largest)
        if self.eval_strategy is None:
            self.eval_strategy = IntervalStrategy.EPOCH if self.do_train and self.do_eval else IntervalStrategy.NO
        evaluates = self.do_train and self.eval_strategy != IntervalStrategy.NO
        if self.save_strategy is None:
            follow = self.eval_strategy if evaluates else IntervalStrategy.EPOCH
            self.save_strategy = SaveStrategy(follow if self.do_train else IntervalStrategy.NO)
        if self.load_best_model_at_end is None:
            self.load_best_model_at_end = evaluates and self.save_strategy != SaveStrategy.NO
        super().__post_init__()
        for name, (allowed, reason) in UNSUPPORTED.items():
            if (self.do_eval or self.do_predict) and (value := getattr(self, name)) is not allowed:
                raise ArgumentsError(f"--{name} is {value}, and {reason}; allowed with an evaluation: {allowed}.")
        check_trackers(self.report_to)
        self.warn_of_emulation()

    def warn_of_emulation(self) -> None:
        if self.bf16 and self.device.type == "cpu" and emulates_bfloat16():
            logger.warning(
                "--bf16: this processor has no bfloat16; float32, without it, takes a fraction of the time."
            )


def parse(
    dataclass_types: Sequence[type],
    argv: Sequence[str] | None = None,
    hint: Callable[[list[str]], str] = lambda unknown: "--help lists all",
    **parser_options,
) -> tuple:
    """Parse `argv` (default: `sys.argv[1:]`) into one instance per dataclass type.

    Exits with code 2 and one line on a bad argument, as `argparse` does; raises `ArgumentsError` for a bad file.

    Args:
        hint: what to say of unknown words.
    """
    argv = expand(sys.argv[1:] if argv is None else argv)
    parser = OneLineParser(dataclass_types, allow_abbrev=False, **parser_options)
    namespace, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(f"unknown arguments: {' '.join(unknown)} ({hint(unknown)})")
    return parser.parse_dict(vars(namespace))


class OneLineParser(HfArgumentParser):
    """Ends with one line on a bad argument, without the usage of some 150 options."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message}\n")

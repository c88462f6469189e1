"""Instruction tuning for the causal recipe: Alpaca's columns or chat messages, several files mixed by weight."""

# ruff: noqa: RUF009 — `option` is `dataclasses.field` with a help text

from dataclasses import dataclass
from math import inf
from typing import Literal

from ..data.hub import load_splits
from ..data.instruct import make_rows, mix, read_rows
from ..data.records import BAD_ROWS, numbered
from ..data.segments import Segments
from .arguments import ArgumentsError, option
from .causal_data import CausalDataArguments, CausalTask


@dataclass
class InstructDataArguments(CausalDataArguments):
    """Which data, and how it is laid out."""

    dataset_name: str | None = option("Dataset on the Hub with these columns, in place of files.")
    bad_rows: Literal[BAD_ROWS] = option("Rows that cannot be used: refuse the data, or skip them.", "refuse")
    weights: list[float] | None = option("How much of each training file; by default all rows of each, once.")
    mixing_seed: int = option("What --weights draws with.", 0)

    def __post_init__(self):
        super().__post_init__()
        files = len(self.train_file or ())
        if self.weights is not None and len(self.weights) != files:
            raise ArgumentsError(f"--weights are {len(self.weights)}, --train_file names {files}; give one per file.")
        if bad := [weight for weight in self.weights or () if not 0 < weight < inf]:
            raise ArgumentsError(f"--weights has {bad[0]}; allowed: positive numbers.")


def load(data_args: InstructDataArguments, splits: list[str], tokenizer, **hub_options) -> dict[str, list[Segments]]:
    """The rows of the files, or of a dataset on the Hub."""
    if not data_args.files:
        return from_hub(data_args, splits, tokenizer, **hub_options)
    if missing := [split for split in splits if split not in data_args.files]:
        raise ArgumentsError(f"there is no --{missing[0]}_file.")
    loaded = {}
    for split in splits:
        parts = [read_rows(path, tokenizer, data_args.bad_rows) for path in data_args.files[split]]
        if split == "train" and data_args.weights:
            loaded[split] = mix(parts, data_args.weights, data_args.mixing_seed)
        else:
            loaded[split] = [row for part in parts for row in part]
    return loaded


def from_hub(data_args: InstructDataArguments, splits: list[str], tokenizer, **hub_options):
    name = data_args.dataset_name
    if name is None:
        raise ArgumentsError("there is no data; give --train_file, --validation_file or --dataset_name.")
    raw = load_splits(name, None, splits, "Local data can be given as --train_file.", **hub_options)
    return {
        split: make_rows(numbered(raw[split]), f"{name} ({split})", tokenizer, data_args.bad_rows) for split in splits
    }


TASK = CausalTask("instruct", InstructDataArguments, load)

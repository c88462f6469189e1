"""Word problems with worked solutions for the causal recipe: GSM8K, the LLM-Adapters collection, generated ones."""

from dataclasses import dataclass
from typing import Literal

from ..data.arithmetic import Problem, make_problems, read_problems, segments
from ..data.hub import load_splits
from ..data.records import BAD_ROWS, numbered
from ..data.segments import Segments
from .arguments import ArgumentsError, option
from .causal_data import CausalDataArguments, CausalTask


HUB_DATASET = ("openai/gsm8k", "main")


@dataclass
class MathDataArguments(CausalDataArguments):
    """Which data, and how it is laid out."""

    dataset_name: str | None = option("Dataset on the Hub with these columns [default: GSM8K, without files].")
    dataset_config_name: str | None = option("Its subset, where it has several.")
    bad_rows: Literal[BAD_ROWS] = option("Rows that cannot be used: refuse the data, or skip them.", "refuse")
    calculations: bool = option("Keep the <<…>> of GSM8K's solutions, written for a calculator.", False)


def load(data_args: MathDataArguments, splits: list[str], tokenizer, **hub_options) -> dict[str, list[Segments]]:
    """The problems of the files, or of the Hub if there are none, as prompts and solutions."""
    if missing := [split for split in splits if data_args.files and split not in data_args.files]:
        raise ArgumentsError(f"there is no --{missing[0]}_file; --validation_rows holds training rows out.")
    loaded = from_files(data_args, splits) if data_args.files else from_hub(data_args, splits, **hub_options)
    return {split: [segments(each, data_args.calculations) for each in rows] for split, rows in loaded.items()}


def from_files(data_args: MathDataArguments, splits: list[str]) -> dict[str, list[Problem]]:
    return {
        split: [each for path in data_args.files[split] for each in read_problems(path, data_args.bad_rows, True)]
        for split in splits
    }


def from_hub(data_args: MathDataArguments, splits: list[str], **hub_options) -> dict[str, list[Problem]]:
    name, subset = data_args.dataset_name, data_args.dataset_config_name
    if name is None:
        name, subset = HUB_DATASET
    instead = "Local data can be given as --train_file; --validation_rows holds training rows out."
    raw = load_splits(name, subset, splits, instead, **hub_options)
    return {
        split: make_problems(numbered(raw[split]), f"{name} ({split})", data_args.bad_rows, True) for split in splits
    }


TASK = CausalTask("math", MathDataArguments, load)

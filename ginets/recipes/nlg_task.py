"""Data-to-text for the causal recipe: E2E, WebNLG 2017, DART; facts → end token → text → end token, as published."""

from dataclasses import dataclass
from typing import Literal

from ..data.nlg import CATEGORIES, HUB_DATASETS, load_hub, read_rows
from ..data.segments import Segment, Segments
from .arguments import ArgumentsError, option
from .causal_data import CausalDataArguments, CausalTask


@dataclass
class NlgDataArguments(CausalDataArguments):
    """Which data, and how it is laid out."""

    task_name: Literal[tuple(HUB_DATASETS)] | None = option("Data set: e2e, webnlg or dart. Required.")
    categories: Literal[CATEGORIES] = option("WebNLG: all rows, or those of seen or unseen categories.", "all")
    dataset_name: str | None = option(
        "Dataset on the Hub with the task's columns [default: the task's, without files]."
    )


def load(data_args: NlgDataArguments, splits: list[str], tokenizer, **hub_options) -> dict[str, list[Segments]]:
    """The rows of the published files, or of the Hub if there are none."""
    task, categories = data_args.task_name, data_args.categories
    if task is None:
        raise ArgumentsError(f"--task_name is missing; it is one of {', '.join(HUB_DATASETS)}.")
    if data_args.files:
        if missing := [split for split in splits if split not in data_args.files]:
            raise ArgumentsError(f"there is no --{missing[0]}_file.")
        loaded = {
            split: [row for path in data_args.files[split] for row in read_rows(task, path, categories)]
            for split in splits
        }
    else:
        loaded = load_hub(task, splits, categories, dataset=data_args.dataset_name, **hub_options)
    return {split: [segments(row["input"], row["reference"]) for row in rows] for split, rows in loaded.items()}


def segments(facts: str, text: str) -> Segments:
    """A row as the model sees it; what it writes begins with a blank."""
    return Segment(facts, end=True), Segment(f" {text}", trained=True, end=True)


TASK = CausalTask("nlg", NlgDataArguments, load)

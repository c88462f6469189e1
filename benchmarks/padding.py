"""What dynamic padding and grouping by length save: MRPC, one epoch of batches, in the order the Trainer uses.

    python benchmarks/padding.py --glue_dir GLUE --tokenizer FOLDER [--steps 40]

Prints JSON: for each of pad-to-max, dynamic padding, and dynamic padding with batches grouped by length, the tokens
that a whole epoch pushes through the model, how many of them are padding, and the time of the first `steps` training
steps (forward and backward) of a small untrained BERT, alternating between the three so that a slow moment of the
machine hits all alike. The seconds are measured, those per epoch extrapolated.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, RandomSampler
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, DataCollatorWithPadding
from transformers.trainer_pt_utils import LengthGroupedSampler

from ginets.data.glue import find_task, load_folder
from ginets.recipes.glue_data import DataArguments, tokenize


def batches(examples, tokenizer, batch_size: int, pad_to_max: bool, grouped: bool, max_length: int) -> list[dict]:
    """All batches of one epoch."""
    data_args = DataArguments(task_name="mrpc", pad_to_max_length=pad_to_max, max_seq_length=max_length)
    rows = tokenize(examples, tokenizer, data_args)["train"]
    generator = torch.Generator().manual_seed(0)
    if grouped:
        sampler = LengthGroupedSampler(batch_size, lengths=list(rows["length"]), generator=generator)
    else:
        sampler = RandomSampler(rows, generator=generator)
    rows = rows.remove_columns(["idx", "length"])
    return list(DataLoader(rows, batch_size, sampler=sampler, collate_fn=DataCollatorWithPadding(tokenizer)))


def step_seconds(model, batch: dict) -> float:
    started = time.perf_counter()
    model(**batch).loss.backward()
    model.zero_grad()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glue_dir", required=True, help="folder that holds MRPC/train.tsv")
    parser.add_argument("--tokenizer", required=True, help="folder or name of a BERT tokenizer")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--max_seq_length", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40, help="timed training steps per variant")
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.tokenizer)
    examples = load_folder(find_task("mrpc"), Path(args.glue_dir), ["train"])
    variants = {
        name: batches(examples, tokenizer, args.batch_size, pad_to_max, grouped, args.max_seq_length)
        for name, pad_to_max, grouped in (
            ("pad_to_max", True, False),
            ("dynamic", False, False),
            ("dynamic_grouped", False, True),
        )
    }
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **shape))
    seconds = {name: [] for name in variants}
    # Evenly spaced batches: grouped epochs begin with the longest.
    picks = torch.linspace(0, len(variants["dynamic"]) - 1, args.steps).long().tolist()
    for loader in variants.values():
        step_seconds(model, loader[0])
    for pick in picks:
        for name, loader in variants.items():
            seconds[name].append(step_seconds(model, loader[pick]))

    full = sum(batch["input_ids"].numel() for batch in variants["pad_to_max"])
    report = {}
    for name, loader in variants.items():
        tokens = sum(batch["input_ids"].numel() for batch in loader)
        padding = tokens - sum(int(batch["attention_mask"].sum()) for batch in loader)
        report[name] = {
            "tokens": tokens,
            "padding_tokens": padding,
            "padding_share": round(padding / tokens, 4),
            "tokens_against_pad_to_max": round(tokens / full, 4),
            "mean_step_ms": round(1000 * statistics.fmean(seconds[name]), 2),
            "median_step_ms": round(1000 * statistics.median(seconds[name]), 2),
            "epoch_seconds_extrapolated": round(statistics.fmean(seconds[name]) * len(loader), 2),
        }
    setting = {
        "task": "MRPC train", "rows": len(examples.splits["train"]), "batch_size": args.batch_size,
        "max_seq_length": args.max_seq_length, "timed_steps": args.steps, "threads": torch.get_num_threads(),
        "torch": torch.__version__, "model": f"BERT, untrained, {shape}",
    }  # fmt: skip
    print(json.dumps({"setting": setting, "results": report}, indent=2))


if __name__ == "__main__":
    main()

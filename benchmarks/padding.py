"""What dynamic padding and grouping by length save: MRPC, one epoch of batches, in the order the Trainer uses.

    python benchmarks/padding.py --glue-dir GLUE --tokenizer FOLDER --out benchmarks/results/padding.json

For pad-to-max, dynamic padding, and dynamic padding with batches grouped by length: the tokens that a whole epoch
pushes through the model and how many of them are padding, which are counted, and the time of `--repeats` training
steps of a small untrained BERT, spread evenly over the epoch, because a grouped one begins with the longest batches.
"""

from functools import partial
from itertools import cycle

import torch
from torch.utils.data import DataLoader, RandomSampler
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, DataCollatorWithPadding
from transformers.trainer_pt_utils import LengthGroupedSampler

from ginets.data.glue import find_task, load_folder
from ginets.recipes.glue_data import DataArguments, tokenize
from paired import arguments, compare, report


VARIANTS = {"pad_to_max": (True, False), "dynamic": (False, False), "dynamic_grouped": (False, True)}
SHAPE = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}


def epoch(options, examples, tokenizer, pad_to_max: bool, grouped: bool) -> list[dict]:
    """All batches of one epoch."""
    data_args = DataArguments(pad_to_max_length=pad_to_max, max_seq_length=options.seq_len)
    rows = tokenize(examples, tokenizer, data_args)["train"]
    generator = torch.Generator().manual_seed(options.seed)
    if grouped:
        sampler = LengthGroupedSampler(options.batch_size, lengths=list(rows["length"]), generator=generator)
    else:
        sampler = RandomSampler(rows, generator=generator)
    rows = rows.remove_columns(["idx", "length"])
    return list(DataLoader(rows, options.batch_size, sampler=sampler, collate_fn=DataCollatorWithPadding(tokenizer)))


def counts(batches: list[dict]) -> dict[str, float]:
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    padding = tokens - sum(int(batch["attention_mask"].sum()) for batch in batches)
    return {"tokens": tokens, "padding_tokens": padding, "padding_share": round(padding / tokens, 4)}


def main():
    options = arguments(__doc__.splitlines()[0], glue_dir="", tokenizer="", batch_size=16, seq_len=128, repeats=40)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    examples = load_folder(find_task("mrpc"), options.glue_dir, ["train"])
    epochs = {name: epoch(options, examples, tokenizer, *variant) for name, variant in VARIANTS.items()}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **SHAPE)).to(options.device)

    def step(batches):
        model.zero_grad(set_to_none=True)
        model(**next(batches).to(options.device)).loss.backward()

    picks = torch.linspace(0, len(epochs["dynamic"]) - 1, options.repeats).long().tolist()
    runs = {name: partial(step, cycle([batches[i] for i in picks])) for name, batches in epochs.items()}
    figures = compare(runs, options.repeats, options.device)
    for name, batches in epochs.items():
        figures[name] |= counts(batches)
    for figure in figures.values():
        figure["tokens_against_pad_to_max"] = round(figure["tokens"] / figures["pad_to_max"]["tokens"], 4)
    report(options, figures)


if __name__ == "__main__":
    main()

"""Windows and answers of SQuAD against the stock example script of transformers, in processor time of one thread.

    python benchmarks/squad.py --squad SQUAD/v1.1 --model FINE_TUNED --utils-qa UTILS_QA.py \
        --out benchmarks/results/squad_preprocessing.json

`--squad` is a folder with `train.json` and `dev.json`. `--model` is a fine-tuned question answering model, as untrained
logits are no test: their best starts and ends are scattered, so that hardly any pair is a candidate. `--utils-qa` is
`utils_qa.py` of transformers' `examples/pytorch/question-answering`; its result must be equal to ours.

Preprocessing is timed up to a `datasets.Dataset` on both sides, stock by `Dataset.map`: on the official file, where
several questions share a paragraph, and on rows whose contexts are all distinct. Post-processing is timed twice: with
windows as a `datasets.Dataset`, as the stock script keeps them, and for the stock loop also as a plain list, which
spares it the decoding of each row.
"""

import os


os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one process, one thread

import logging
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import datasets
import numpy as np
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from ginets.data.squad import load_files
from ginets.data.squad_features import SpanCollator, build_features
from ginets.metrics.squad_answers import read_answers
from paired import arguments, compare, report


def stock_windows(tokenizer, size: int, stride: int, batch: dict) -> dict:
    """The tokenizer on pairs, and labels by walking over the offsets of each window."""
    pairs = tokenizer(
        [question.lstrip() for question in batch["question"]],
        batch["context"],
        truncation="only_second",
        max_length=size,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    examples, windows = pairs.pop("overflow_to_sample_mapping"), pairs.pop("offset_mapping")
    labels = [
        label(offsets, pairs.sequence_ids(number), batch["answers"][example])
        for number, (offsets, example) in enumerate(zip(windows, examples, strict=True))
    ]
    return {**pairs, "start_positions": [low for low, _ in labels], "end_positions": [high for _, high in labels]}


def label(offsets: list, texts: list, answers: dict) -> tuple[int, int]:
    low, high = texts.index(1), len(texts) - 1
    while texts[high] != 1:
        high -= 1
    if not answers["text"]:
        return 0, 0
    start, end = answers["answer_start"][0], answers["answer_start"][0] + len(answers["text"][0])
    if offsets[low][0] > start or offsets[high][1] < end:
        return 0, 0
    last = high
    while low <= last and offsets[low][0] <= start:
        low += 1
    while offsets[high][1] >= end:
        high -= 1
    return low - 1, high + 1


def map_stock(rows, tokenizer, size: int, stride: int):
    function = partial(stock_windows, tokenizer, size, stride)
    return rows.map(function, batched=True, remove_columns=rows.column_names, load_from_cache_file=False)


def windows_figures(options, tokenizer) -> dict:
    path = str(Path(options.squad) / "train.json")
    rows = load_files({"train": path}, ["train"])["train"]
    rows = rows.select(range(min(options.questions, len(rows))))
    contexts = list(rows["context"])
    first = sorted({context: number for number, context in reversed(list(enumerate(contexts)))}.values())
    cases = {"official_file": rows, "distinct_contexts": rows.select(first)}
    figures = {}
    for name, each in cases.items():
        ours = partial(build_features, each, tokenizer, labels=True, max_seq_length=options.seq_len,
                       doc_stride=options.doc_stride)  # fmt: skip
        stock = partial(map_stock, each, tokenizer, options.seq_len, options.doc_stride)
        assert ours()[:]["input_ids"] == stock()[:]["input_ids"]
        counts = {"questions": len(each), "contexts": len(set(each["context"])), "windows": len(ours())}
        figures[name] = counts | compare({"stock": stock, "ours": ours}, options.repeats, options.device)
    return figures


def logits_of(options, tokenizer, features) -> tuple[np.ndarray, np.ndarray]:
    model, collate = AutoModelForQuestionAnswering.from_pretrained(options.model).eval(), SpanCollator(tokenizer)
    logits = np.full((2, len(features), max(features["length"])), -100, np.float32)
    order = np.argsort(features["length"])
    for rows in np.split(order, range(16, len(order), 16)):
        with torch.no_grad():
            output = model(**collate([features[int(row)] for row in rows]))
        for which, values in enumerate((output.start_logits, output.end_logits)):
            logits[which, rows, : values.shape[1]] = values.numpy()
    return tuple(logits)


def answers_figures(options, tokenizer) -> dict:
    path = str(Path(options.squad) / "dev.json")
    examples = load_files({"dev": path})["dev"]
    examples = examples.select(range(min(options.answers, len(examples))))
    sizes = {"max_seq_length": options.seq_len, "doc_stride": options.doc_stride}
    features = build_features(examples, tokenizer, characters=True, **sizes)
    logits = logits_of(options, tokenizer, features)
    spec = spec_from_file_location("utils_qa", options.utils_qa)
    stock_script = module_from_spec(spec)
    spec.loader.exec_module(stock_script)
    names = list(examples["id"])
    listed = [
        {
            "example_id": names[row["example"]],
            "offset_mapping": [
                *[None] * row["context_start"],
                *zip(row["char_starts"], row["char_ends"], strict=True),
                *[None] * (row["length"] - row["context_start"] - len(row["char_starts"])),
            ],
        }
        for row in features
    ]
    figures = {"questions": len(examples), "windows": len(features)}
    for name, negative in (("v1", False), ("v2", True)):
        stock = partial(stock_script.postprocess_qa_predictions, examples, version_2_with_negative=negative)
        dataset = datasets.Dataset.from_list(listed)
        runs = {
            "stock": partial(stock, dataset, logits),
            "stock_on_a_list": partial(stock, listed, logits),
            "ours": partial(read_answers, examples, features, logits, negative),
        }
        assert dict(runs["stock"]()) == runs["ours"]().predictions
        figures[name] = compare(runs, options.repeats, options.device)
    return figures


def main():
    options = arguments(
        __doc__.splitlines()[0], squad="", model="", utils_qa="", questions=12000, answers=600, seq_len=384,
        doc_stride=128, repeats=3,
    )  # fmt: skip
    logging.disable(logging.WARNING)
    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    report(options, {"windows": windows_figures(options, tokenizer), "answers": answers_figures(options, tokenizer)})


if __name__ == "__main__":
    main()

"""Beam search in batches, by up to two one-thread processes, against beam search of one prompt at a time.

    python benchmarks/generation.py --data E2E/test.csv --tokenizer GPT2 --out benchmarks/results/generation.json

The prompts are the first `--prompts` distinct inputs of E2E, decoded as published (10 beams, 64 tokens, no 4-gram twice).
One prompt at a time is measured with each number of threads up to that of the cores; all have the same model, the same
rule of stopping and the same ban, so what differs is batches and processes. `speedup` is the median, over the rounds, of
the fastest single run's time by ours. The times are those of a clock on the wall, since other processes are waited for:
nothing else should be running. `--model` takes a trained model; by default it is a GPT-2 with fresh weights, which
writes all 64 tokens.
"""

import os
import tempfile
from dataclasses import replace
from functools import partial

import torch
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from ginets.data.nlg import distinct, read_rows
from ginets.data.segments import prompt_of
from ginets.generation.batches import plan
from ginets.generation.decoding import PUBLISHED
from ginets.generation.prompts import make_prompts
from ginets.generation.workers import Batch, Workers
from ginets.generation.writer import load_writer
from ginets.recipes.nlg_task import segments
from paired import arguments, compare, report, wall_seconds


def fresh_model(options, folder: str) -> str:
    tokenizer = GPT2Tokenizer.from_pretrained(options.tokenizer)
    sizes = {"n_embd": options.hidden, "n_layer": options.layers, "n_head": options.hidden // 64}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def one_by_one(write, prompts, threads: int) -> list[str]:
    torch.set_num_threads(threads)
    try:
        return [write([prompt.ids], 0)[0] for prompt in prompts]
    finally:
        torch.set_num_threads(1)


def in_batches(workers: Workers, prompts, batches: list[list[int]]) -> list[str]:
    texts = {}
    for number, written in workers(Batch(i, [prompts[at].ids for at in batch]) for i, batch in enumerate(batches)):
        texts |= dict(zip(batches[number], written, strict=True))
    return [texts[at] for at in range(len(prompts))]


def main():
    options = arguments(
        __doc__.splitlines()[0],
        data="",
        tokenizer="",
        model="",
        hidden=256,
        layers=4,
        prompts=32,
        new_tokens=64,
        batch_tokens=16384,
    )
    decoding = replace(PUBLISHED["e2e"], max_new_tokens=options.new_tokens)
    with tempfile.TemporaryDirectory() as folder:
        load = partial(load_writer, options.model or fresh_model(options, folder), decoding)
        write = load()
        items = distinct(read_rows("e2e", options.data))[: options.prompts]
        rows = [(item.id, prompt_of(segments(item.input, ""))) for item in items]
        prompts = make_prompts(rows, write.tokenizer)
        lengths = [len(each.ids) for each in prompts]
        batches = plan(
            lengths, decoding.max_new_tokens, decoding.num_beams, -(-len(prompts) // 2), options.batch_tokens
        )
        with Workers(load, 2) as two, Workers(lambda: write, 1) as one:
            runs = {
                "two_processes": partial(in_batches, two, prompts, batches),
                "one_process": partial(in_batches, one, prompts, batches),
            }
            for threads in range(1, (os.cpu_count() or 1) + 1):
                runs[f"one_by_one_{threads}_threads"] = partial(one_by_one, write, prompts, threads)
            texts = {name: run() for name, run in runs.items()}
            figures = compare(runs, options.repeats, options.device, warmup=0, clock=wall_seconds)
    for name, figure in figures.items():
        figure["texts_per_s"] = round(len(prompts) / figure["median_s"], 3)
        figure["equal_texts"] = sum(map(str.__eq__, texts[name], texts["one_by_one_1_threads"]))
    singles = [figure["ratio"] for name, figure in figures.items() if name.startswith("one_by_one")]
    ours = min(1.0, figures["one_process"]["ratio"])
    figures["speedup"] = round(min(singles) / ours, 4)
    report(options, figures)


if __name__ == "__main__":
    main()

"""Small trainings on a few cores: N processes of one thread each, or one process after the other with N threads?

    python benchmarks/workers.py --model MODEL --out benchmarks/results/workers.json

The same work, `--steps` training steps for each of N = `--processes` models (all weights, batches of 32), is done in three
ways in turn. Times are those of a clock on the wall; nothing else should be running.
"""

import multiprocessing
from functools import partial

import torch
from transformers import AutoModelForSequenceClassification

from paired import arguments, compare, report, wall_seconds


def serve(pipe, model_name: str, length: int) -> None:
    """A process with a model: takes (threads, steps) and answers when it has done them."""
    model = AutoModelForSequenceClassification.from_pretrained(model_name, num_labels=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(model.config.vocab_size, (32, length), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(32) % 2
    while (order := pipe.recv()) is not None:
        threads, steps = order
        torch.set_num_threads(threads)
        for _ in range(steps):
            model(input_ids=ids, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        pipe.send("done")


def in_parallel(pipes, steps: int) -> None:
    for pipe in pipes:
        pipe.send((1, steps))
    for pipe in pipes:
        pipe.recv()


def in_turn(pipes, threads: int, steps: int) -> None:
    for pipe in pipes:
        pipe.send((threads, steps))
        pipe.recv()


def main():
    options = arguments(__doc__.splitlines()[0], model="", processes=2, steps=6, lengths=[12], repeats=5)
    context, figures = multiprocessing.get_context("spawn"), {}
    for length in options.lengths:
        pairs = [context.Pipe() for _ in range(options.processes)]
        workers = [context.Process(target=serve, args=(far, options.model, length), daemon=True) for _, far in pairs]
        for worker in workers:
            worker.start()
        pipes = [near for near, _ in pairs]
        ways = {
            f"{options.processes} processes, one thread each": partial(in_parallel, pipes, options.steps),
            f"in turn, {options.processes} threads": partial(in_turn, pipes, options.processes, options.steps),
            "in turn, one thread": partial(in_turn, pipes, 1, options.steps),
        }
        figures[f"32 × {length} tokens"] = compare(ways, options.repeats, "cpu", clock=wall_seconds)
        for pipe, worker in zip(pipes, workers, strict=True):
            pipe.send(None)
            worker.join()
    report(options, figures)


if __name__ == "__main__":
    main()

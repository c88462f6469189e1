"""Batches shared among processes: on a CPU several one-thread processes write more than one process with threads."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """`number` names the batch in its result; `prompts` are token ids."""

    number: int
    prompts: Sequence[Sequence[int]]
    seed: int = 0


Write = Callable[[Sequence[Sequence[int]], int], list[str]]


class Workers:
    """Writes batches in this process, or in `count` others; each loads its own model, when the first batch comes.

    Args:
        load: makes what writes a batch; with several processes it must be possible to pickle it.
        count: of processes; 1 stays in this one, with all its threads.
    """

    def __init__(self, load: Callable[[], Write], count: int = 1):
        if count < 1:
            raise ValueError(f"workers is {count}; it must be at least 1.")
        if count > 1 and torch.accelerator.is_available():
            raise ValueError(f"workers is {count}; with an accelerator there is one, give larger batches instead.")
        self.load = load
        self.count = count
        self.writer = None
        self.pool = None

    def __enter__(self) -> "Workers":
        if self.count > 1:
            # not forked: a copy of a process that has run threads of torch can hang
            self.pool = ProcessPoolExecutor(self.count, get_context("spawn"), _start, (self.load,))
        return self

    def __exit__(self, *raised) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def __call__(self, batches: Iterable[Batch]) -> Iterator[tuple[int, list[str]]]:
        """Number and texts of each batch, as they are finished.

        Raises:
            ChildProcessError: a process has ended.
        """
        if self.pool is None:
            self.writer = self.writer or self.load()
            for batch in batches:
                yield batch.number, self.writer(batch.prompts, batch.seed)
            return
        try:
            for future in as_completed([self.pool.submit(_write, batch) for batch in batches]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ChildProcessError("a worker process has ended, perhaps for lack of memory; give fewer.") from error


# what a worker process holds
_load: Callable[[], Write] | None = None
_writer: Write | None = None


def _start(load: Callable[[], Write]) -> None:
    """Begin a worker process: one thread, and an end with its parent, even if that is killed."""
    global _load
    _load = load
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, lambda *given: os._exit(130))
    threading.Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()


def _write(batch: Batch) -> tuple[int, list[str]]:
    global _writer
    _writer = _writer or _load()
    return batch.number, _writer(batch.prompts, batch.seed)

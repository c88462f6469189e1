"""Dynamic batching: while a model works, requests gather; what fits goes together next."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import inf

import torch


logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A piece of work for a model.

    Attributes:
        call: list of works → their results in the same order, in the model's thread.
        work: what `call` is given.
        key: only jobs of equal `call` and `key` go together.
        rows: that the model is given.
        length: tokens of the longest row that the model is given.
        new: tokens at most that it writes to each.
    """

    call: Callable[[list], list]
    work: object
    key: Hashable = None
    rows: int = 1
    length: int = 1
    new: int = 0
    future: asyncio.Future = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Gives one model its jobs, batch by batch, in a thread of its own; the oldest job always goes first.

    Args:
        max_rows, max_tokens: of a batch; one job is always taken.
        max_length: tokens of a row, padding and new ones included; each job alone has no more.
        observe: is told `(jobs, rows, seconds)` of each batch.
        threads: of torch, for this model.
    """

    def __init__(
        self,
        max_rows: int,
        max_tokens: int,
        max_length: float = inf,
        observe: Callable = lambda *_: None,
        threads: int | None = None,
    ):
        self.max_rows, self.max_tokens, self.max_length, self.observe = max_rows, max_tokens, max_length, observe
        self.waiting: deque[Job] = deque()
        self.thread = ThreadPoolExecutor(1, "model", *((torch.set_num_threads, (threads,)) if threads else ()))
        self.runner: asyncio.Task | None = None

    async def submit(self, jobs: Iterable[Job]) -> list:
        """The results of jobs. If the caller is cancelled, those that have not begun are dropped."""
        jobs = list(jobs)
        self.waiting.extend(jobs)
        if self.runner is None or self.runner.done():
            self.runner = asyncio.create_task(self.work())
        try:
            return await asyncio.gather(*(job.future for job in jobs))
        finally:
            for job in jobs:
                job.future.cancel()  # no effect on those that are done

    async def work(self) -> None:
        """Until nothing waits. Requests that arrived together have joined the queue before the first batch is cut."""
        await asyncio.sleep(0)
        while batch := self.take():
            start = time.perf_counter()
            try:
                works = [job.work for job in batch]
                results = await asyncio.get_running_loop().run_in_executor(self.thread, batch[0].call, works)
            except Exception as error:  # whatever it was, those who wait have to hear of it
                results = [error] * len(batch)
            self.observe(batch, sum(job.rows for job in batch), time.perf_counter() - start)
            for job, result in zip(batch, results, strict=True):
                if not job.future.done():
                    settle = job.future.set_exception if isinstance(result, Exception) else job.future.set_result
                    settle(result)
            await asyncio.sleep(0)  # let those who were answered ask again

    def take(self) -> list[Job]:
        """The oldest job and others that may go with it, in their order."""
        batch: list[Job] = []
        left: deque[Job] = deque()
        rows = longest = most = 0  # every row is padded to the longest, and goes on until the last has ended
        for job in self.waiting:
            if job.future.done():  # nobody waits for it any more
                continue
            first = batch[0] if batch else job
            length = max(longest, job.length) + max(most, job.new)
            fits = (job.call, job.key) == (first.call, first.key) and rows + job.rows <= self.max_rows
            fits = fits and length <= self.max_length and (rows + job.rows) * length <= self.max_tokens
            if fits or not batch:
                batch.append(job)
                rows, longest, most = rows + job.rows, max(longest, job.length), max(most, job.new)
            else:
                left.append(job)
        self.waiting = left
        return batch

    def close(self) -> None:
        self.thread.shutdown()

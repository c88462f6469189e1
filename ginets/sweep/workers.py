"""Cells in local processes, so many at a time, until all are done or somebody stops it."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Event

import torch

from .cell import FAILED, Outcome, Settings, run_cell
from .grid import Cell
from .store import Store


class Stop(Event):
    """Set by Ctrl-C, SIGTERM or the end of the terminal. `signal`: which."""

    signal: int | None = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Within it, SIGINT, SIGTERM and SIGHUP set the event, and nothing else; only in the main thread.

    Where SIGHUP is ignored, as under `nohup`, it stays so."""
    stop = Stop()

    def handle(number: int, frame) -> None:
        stop.signal = number
        stop.set()

    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(hangup)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_here(
    cells: Sequence[Cell],
    store: Store,
    settings: Settings,
    workers: int,
    stop: Event,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Do cells, `workers` at a time, each on a GPU of its own as long as there are enough.

    Args:
        report: called with each outcome as it comes.
    """
    gpus, places = visible_gpus(), SimpleQueue()
    for number in range(workers):
        places.put(gpus[number % len(gpus)] if gpus else None)

    def run(cell: Cell) -> Outcome:
        place = places.get()
        try:
            return run_cell(cell, store, settings, place, stop)
        except OSError as error:  # such as a full disk: the cells of other workers may still end well
            return Outcome(cell, FAILED, str(error))
        finally:
            places.put(place)

    outcomes = []
    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(run, cell) for cell in cells]):
                outcomes.append(future.result())
                report(outcomes[-1])
        except BaseException:
            stop.set()  # the others end before this is raised
            raise
    return outcomes


def visible_gpus() -> list[str]:
    """As `CUDA_VISIBLE_DEVICES` names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]

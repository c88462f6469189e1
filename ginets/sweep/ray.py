"""Cells as tasks of a Ray cluster that is there already; all its machines see the folder of the sweep and the data."""

import os
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

from ..extras import require
from ..recipes.recipe_files import ArgumentsError
from .cell import FAILED, STOPPED, Outcome, Settings, run_cell
from .grid import Cell
from .store import Store


GLANCE = 1.0  # seconds between two looks whether to stop


def run_in(cell: Cell, store: Store, settings: Settings, folder: str) -> Outcome:
    """`run_cell` in a folder, that of the sweep's own process: Ray's are elsewhere, and paths may be relative."""
    os.chdir(folder)
    return run_cell(cell, store, settings)


def run_on_ray(
    address: str,
    cells: Sequence[Cell],
    store: Store,
    settings: Settings,
    resources: Mapping[str, Any],
    stop: Event,
    report: Callable[[Outcome], None],
) -> list[Outcome]:
    """Do cells, as many at a time as the cluster has room for.

    Args:
        address: of the cluster; `auto` finds one that this machine belongs to. None is started.
        resources: of one cell, options of Ray's `remote`, e.g. `num_gpus`.
        report: called with each outcome as it comes.

    Raises:
        ArgumentsError: the address would have Ray start a cluster here, which others could reach.
    """
    if address in ("", "local"):
        raise ArgumentsError(f"--ray is {address!r}; allowed: the address of a running cluster, host:port or auto.")
    ray = require("ray", extra="ray")
    ray.init(address=address)
    task = ray.remote(run_in).options(**{"num_cpus": settings.threads, "max_retries": 0} | dict(resources))
    outcomes: list[Outcome] = []
    given = store, settings, os.getcwd()
    running = {task.remote(cell, *given): (cell, 1) for cell in cells}
    try:
        while running and not stop.is_set():
            ready, _ = ray.wait(list(running), num_returns=1, timeout=GLANCE)
            for reference in ready:
                cell, attempt = running.pop(reference)
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.RayError as error:  # the machine or Ray's worker is gone
                    if attempt <= settings.retries:
                        running[task.remote(cell, *given)] = (cell, attempt + 1)
                        continue
                    outcome = Outcome(cell, FAILED, f"lost by the cluster: {str(error).splitlines()[0]}")
                outcomes.append(outcome)
                report(outcome)
    finally:
        for reference in running:
            ray.cancel(reference)  # interrupts the task, which ends its process
        outcomes += [Outcome(cell, STOPPED) for cell, _ in running.values()]
        ray.shutdown()
    return outcomes

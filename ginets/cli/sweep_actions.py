"""What `ginets sweep` does with a sweep: run it, or one of the things that are done instead."""

import json
import shlex
import sys
import uuid
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from ..recipes.commands import COMMANDS
from ..recipes.recipe_files import ArgumentsError
from ..sweep.cell import DONE, Outcome, Settings, command_of, hide_secrets
from ..sweep.grid import Cell, Sweep, find, load
from ..sweep.ray import run_on_ray
from ..sweep.slurm import array_job
from ..sweep.store import Store
from ..sweep.table import Row, as_csv, as_records, as_text, summarise
from ..sweep.workers import run_here, stoppable


def sweep(options: SimpleNamespace) -> int:
    """The exit code.

    Raises:
        ArgumentsError: an option or the file cannot be used.
    """
    check_options(options)
    given = [name for name in ACTIONS if getattr(options, name) not in (None, False)]
    if len(given) > 1:
        first, second, *_ = (f"--{name.replace('_', '-')}" for name in given)
        raise ArgumentsError(f"{first} and {second} exclude each other; give one of them.")
    grid = load(options.file, options.overrides)
    if options.json and given and given[0] not in WITH_JSON:
        raise ArgumentsError(f"--json does not go with --{given[0].replace('_', '-')}; it prints what a sweep says.")
    action = ACTIONS[given[0]] if given else run
    return action(grid, Store(grid.output_dir), options)


def check_options(options: SimpleNamespace) -> None:
    """Refuse numbers of workers, threads and retries that cannot be."""
    for name, least in (("workers", 1), ("threads", 1), ("retries", 0)):
        if getattr(options, name) < least:
            raise ArgumentsError(f"--{name} is {getattr(options, name)}; allowed: at least {least}.")


def missing(sweep: Sweep, store: Store) -> list[Cell]:
    """The cells to be done, their arguments checked; seeds differ in nothing that a check could find."""
    cells = [cell for cell in sweep.cells if not store.record_file(cell)]
    for cell in {tuple(cell.variant.items()): cell for cell in cells}.values():
        try:
            COMMANDS[cell.command].parse_quietly(["--output_dir", str(sweep.output_dir), *cell.words()])
        except ArgumentsError as error:
            raise ArgumentsError(f"{cell.label}: {error}") from error
    return cells


def run(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """Do what is missing; print the table of what is there, and keep it as `table.csv` and `table.txt`."""
    if records := finished(sweep, store):
        summarise(records, sweep.metrics)  # a figure that they lack is better known now than after hours
    code = do(sweep, store, options, missing(sweep, store))
    if records := finished(sweep, store):
        rows = summarise(records, sweep.metrics)
        store.write("table.csv", as_csv(rows))
        store.write("table.txt", as_text(rows) + "\n")
        print_rows(rows, options.json, before="\n")
    elif options.json:
        print_rows([], options.json)
    return code


def do(sweep: Sweep, store: Store, options: SimpleNamespace, cells: list[Cell]) -> int:
    """Do cells; the exit code."""
    settings = Settings(options.threads, options.retries, sweep.keep_runs)
    say = partial(print, file=sys.stderr if options.json else sys.stdout, flush=True)
    say(f"{len(sweep.cells) - len(cells)} of {len(sweep.cells)} cells are there; {len(cells)} to do.")
    count, unchecked = 0, True

    def report(outcome: Outcome) -> None:
        nonlocal count, unchecked
        count += 1
        say(f"[{count}/{len(cells)}] {outcome.state}: {outcome.cell.label}  {outcome.text}".rstrip())
        if unchecked and outcome.state == DONE:  # the first run tells which figures there are
            unchecked = False
            try:
                summarise([(outcome.cell, store.record(outcome.cell))], sweep.metrics)
            except ArgumentsError as error:
                say(f"warning: `metrics`: {error} Runs go on; mend the file and give the command again after them.")

    with stoppable() as stop:
        if options.ray is None:
            outcomes = run_here(cells, store, settings, options.workers, stop, report)
        else:
            settings = replace(settings, owner=uuid.uuid4().hex)
            outcomes = run_on_ray(options.ray, cells, store, settings, sweep.ray, stop, report)
    if stop.signal:
        return 128 + stop.signal
    return int(any(outcome.state != DONE for outcome in outcomes))


def print_rows(rows: list[Row], as_json: bool, before: str = "") -> None:
    print(json.dumps(as_records(rows), indent=2) if as_json else before + as_text(rows))


def finished(sweep: Sweep, store: Store) -> list[tuple[Cell, dict]]:
    return [(cell, record) for cell in sweep.cells if (record := store.record(cell))]


def do_cell(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """`--cell`: one, as a task of an array job."""
    cells = [cell for cell in sweep.cells if cell.key == options.cell]
    if not cells:
        raise ArgumentsError(f"--cell is {options.cell!r}; {options.file} has no such cell (any more), see --list.")
    return do(sweep, store, options, [cell for cell in cells if not store.record_file(cell)])


def list_cells(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """`--list`: key, label, state."""
    cells = []
    for cell in sweep.cells:
        there = store.record_file(cell) is not None
        holder = None if there else store.lock(cell).holder()
        state = "done" if there else "missing" if holder is None else f"in work: {holder}"
        cells.append({"key": cell.key, "label": cell.label, "state": state})
    if options.json:
        print(json.dumps(cells, indent=2))
        return 0
    for cell in cells:
        print("  ".join(cell.values()))
    print(f"{sum(cell['state'] == 'done' for cell in cells)} of {len(cells)} cells are there.")
    return 0


def dry_run(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """`--dry-run`: the commands of the missing cells, checked."""
    for cell in missing(sweep, store):
        print(shlex.join(["python", *hide_secrets(command_of(cell, store))]))
    return 0


def print_table(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """`--table METRIC`."""
    print_rows(summarise(finished(sweep, store), [options.table]), options.json)
    return 0


def write_slurm(sweep: Sweep, store: Store, options: SimpleNamespace) -> int:
    """`--slurm FILE`."""
    cells = missing(sweep, store)
    if not cells:
        print("All cells are there; no script was written.")
        return 0
    logs = store.inside(Path("slurm", "logs")).parent
    words = [*options.overrides, "--threads", str(options.threads), "--retries", str(options.retries)]
    script = array_job(find(options.file), words, cells, logs, sweep.slurm)
    Path(options.slurm).write_text(script, encoding="utf-8")
    print(f"{options.slurm}: {len(cells)} tasks; submit it with: sbatch {options.slurm}")
    return 0


# option → what is done instead of the sweep
ACTIONS = {
    "list": list_cells,
    "dry_run": dry_run,
    "table": print_table,
    "slurm": write_slurm,
    "cell": do_cell,
}
WITH_JSON = {"list", "table"}

"""What `ginets bench` does with a leaderboard."""

import json
from pathlib import Path
from types import SimpleNamespace

import torch

from ..bench.checks import check_data, check_methods, warn_of_emulation
from ..bench.cost import measure
from ..bench.definition import BASE
from ..bench.pictures import write_pictures
from ..bench.protocol import load
from ..bench.report import as_csv, as_markdown
from ..bench.results import Results, base_of, precision
from ..extras import versions
from ..recipes.recipe_files import OVERRIDE, ArgumentsError, parse_value
from ..sweep.cell import hardware
from .sweep_actions import check_options, do, missing


COSTS = "costs.json"


def open_results(
    file: Path, places: list[str] | None, base: str | None, name: str | None, tasks: list[str] | None = None
) -> Results:
    """A leaderboard and its folder."""
    given = {}
    for word in places or ():
        match = OVERRIDE.fullmatch(word)
        if not match:
            raise ArgumentsError(f"{word!r} is no place; allowed: name=value.")
        given[match[1]] = parse_value(match[2])
    if base is not None:
        given[BASE] = base
    board = load(file, given, tasks)
    return Results(board, file.parent / (name or Path(str(board.places[BASE])).name.lower()))


def run_all(results: Results, options: SimpleNamespace) -> int:
    """Tuning, then task after task. A task that fails does not stop the next; the tuning does."""
    check_options(options)
    board, folder = results.leaderboard, results.folder
    check(results)
    sweep = board.tuning(folder)
    if code := do(sweep, results.store, options, missing(sweep, results.store)):
        return code
    codes = []
    for name in board.selected:
        sweep = board.task(folder, name, results.rates)
        codes.append(do(sweep, results.store, options, missing(sweep, results.store)))
        if codes[-1] > 128:
            break
    return max(codes)


def check(results: Results) -> None:
    """Find what would make runs fail, before the first: some would only begin hours later.

    Raises:
        ArgumentsError: data that is not there, arguments that a command refuses, a base model that does not take the
            adapter of a method, or another one than that of the runs in the folder.
    """
    board = results.leaderboard
    for name in (board.tuning_task, *board.selected):
        for place, path in board.tasks[name].places.items():
            if not Path(path).exists():
                raise ArgumentsError(f"`tasks.{name}.places.{place}` is {path!r}, which is no file and no folder.")
    base = str(board.places[BASE])
    there = filter(None, map(results.store.record, board.tuning(results.folder).cells))
    if other := sorted(set(map(base_of, there)) - {base}):
        raise ArgumentsError(
            f"{results.folder} has runs of the base model {other[0]!r}, and this is {base!r}; give another --name, or if "
            f"it is the same model at another place, a link of the same name."
        )
    sweeps = [
        board.tuning(results.folder),
        *(board.task(results.folder, name, board.first_rates) for name in board.selected),
    ]
    for sweep in sweeps:
        missing(sweep, results.store)
    check_data(board)
    check_methods(board)
    warn_of_emulation(board)


def check_begun(results: Results) -> None:
    if not results.folder.is_dir():
        raise ArgumentsError(f"{results.folder} is not there; give the --name or the --base of runs that were begun.")


def print_status(results: Results, as_json: bool = False) -> None:
    """Runs that are there of the tuning and of each task and seed; those of tasks depend on the rates that it chooses."""
    check_begun(results)
    board = results.leaderboard
    there, cells = results.count(board.tuning(results.folder).cells)
    state = {"tuning": {"task": board.tuning_task, "done": there, "runs": cells}, "tasks": []}
    for name in board.selected if there == cells else ():
        cells = board.task(results.folder, name, results.rates).cells
        for seed in board.seeds:
            there, count = results.count([cell for cell in cells if cell.seed == seed])
            state["tasks"].append({"task": name, "seed": seed, "done": there, "runs": count})
    if as_json:
        print(json.dumps(state, indent=2))
        return
    print("tuning on {task}: {done} of {runs} runs".format(**state["tuning"]))
    for line in state["tasks"]:
        print("{task}, seed {seed}: {done} of {runs} runs".format(**line))


def write_report(results: Results) -> None:
    """RESULTS.md, results.csv, pictures."""
    check_begun(results)
    costs = results.folder / COSTS
    measured = json.loads(costs.read_text(encoding="utf-8")) if costs.is_file() else {}
    files = [
        results.store.write("RESULTS.md", as_markdown(results, measured)),
        results.store.write("results.csv", as_csv(results)),
        *write_pictures(results, results.folder),
    ]
    for file in files:
        print(file)


def measure_costs(results: Results, rounds: int, length: int) -> None:
    """Write `costs.json`."""
    board = results.leaderboard
    for name, value in (("rounds", rounds), ("length", length)):
        if value < 1:
            raise ArgumentsError(f"--{name} is {value}; allowed: at least 1.")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = measure(board, rounds, length)
    finally:
        torch.set_num_threads(before)
    given = {**board.places, **board.arguments}
    made_by = {"versions": versions(), "hardware": hardware(given) | {"threads": 1}, "precision": precision(given)}
    about = {"rounds": rounds, "length": length, **made_by}
    print(results.store.write(COSTS, json.dumps(about | {"methods": measured}, indent=2) + "\n"))

"""`ginets bench run|status|report|cost`: leaderboards."""

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

from typer import Argument, Option

from .command import Json, add_verb, new_app


EXAMPLES = """
ginets bench run benchmarks/leaderboard/leaderboard.yaml --base MODEL --name minilm glue=GLUE --tasks cola mrpc rte --workers 2
ginets bench status benchmarks/leaderboard/leaderboard.yaml --name minilm
ginets bench report benchmarks/leaderboard/leaderboard.yaml --name minilm
"""
File = Annotated[Path, Argument(metavar="LEADERBOARD.yaml", help="The protocol: tasks, methods, seeds, tuning.")]
Name = Annotated[
    str | None,
    Option(metavar="NAME", help="Folder of the results beside the file [default: the last part of --base]."),
]
Base = Annotated[str | None, Option(metavar="MODEL", help="The pretrained model: a folder or a name on the Hub.")]
Places = Annotated[list[str] | None, Argument(metavar="name=value", help="Where things lie, e.g. glue=GLUE.")]
Tasks = Annotated[
    list[str] | None,
    Option(metavar="TASK ...", help="These only: of the file, of GLUE, or NAME=TRAIN,VALIDATION, files of your own."),
]
Threads = Annotated[int, Option(metavar="N", help="Threads of each process.")]


def run(
    file: File,
    places: Places = None,
    base: Base = None,
    name: Name = None,
    tasks: Tasks = None,
    workers: Annotated[int, Option(metavar="N", help="Processes at a time.")] = 1,
    threads: Threads = 1,
    retries: Annotated[int, Option(metavar="N", help="Times a killed run is done again.")] = 2,
) -> int:
    """Tune, then run all methods on all tasks; finished runs are kept, and only missing ones are done.

    Exit code 0 if all runs are there, 1 if not, 128 + n if stopped by signal n.
    """
    options = SimpleNamespace(workers=workers, threads=threads, retries=retries, ray=None, json=False)
    from .bench_actions import open_results, run_all

    return run_all(open_results(file, places, base, name, tasks), options)


def status(file: File, name: Name = None, base: Base = None, tasks: Tasks = None, json: Json = False) -> None:
    """Say how many runs are there, of the tuning and of each task."""
    from .bench_actions import open_results, print_status

    print_status(open_results(file, None, base, name, tasks), json)


def report(file: File, name: Name = None, base: Base = None, tasks: Tasks = None) -> None:
    """Write RESULTS.md, results.csv and pictures from the runs that are there: whole tasks only."""
    from .bench_actions import open_results, write_report

    write_report(open_results(file, None, base, name, tasks))


def cost(
    file: File,
    places: Places = None,
    base: Base = None,
    name: Name = None,
    rounds: Annotated[int, Option(metavar="N", help="Steps of each method.")] = 15,
    length: Annotated[int, Option(metavar="N", help="Tokens of each text.")] = 64,
) -> None:
    """Time training steps of each method in turn with the baseline's, on one thread, and keep the ratios for the report."""
    from .bench_actions import measure_costs, open_results

    measure_costs(open_results(file, places, base, name), rounds, length)


APP = new_app("Leaderboards: methods × tasks × seeds under one protocol, with intervals.", EXAMPLES)
for _function in (run, status, report, cost):
    add_verb(APP, _function.__name__, _function, EXAMPLES, program="ginets bench")

"""`ginets sweep SWEEP.yaml`: a grid of training runs."""

from types import SimpleNamespace
from typing import Annotated

from typer import Argument, Option

from .command import Json


EXAMPLES = """
ginets sweep mrpc_adapters model_name_or_path=MODEL glue_dir=GLUE --workers 2
ginets sweep mine.yaml --dry-run
ginets sweep mine.yaml --table eval_f1 --json
"""


def main(
    file: Annotated[str, Argument(metavar="SWEEP.yaml", help="Command, arguments, grid, seeds, output_dir.")],
    overrides: Annotated[
        list[str] | None, Argument(metavar="name=value", help="Instead of what the file says.")
    ] = None,
    workers: Annotated[int, Option(metavar="N", help="Processes at a time.")] = 1,
    threads: Annotated[int, Option(metavar="N", help="Threads of each process.")] = 1,
    retries: Annotated[int, Option(metavar="N", help="Times a killed cell is done again.")] = 2,
    ray: Annotated[
        str | None, Option(metavar="ADDRESS", help="Run the cells on this Ray cluster: host:port, or auto.")
    ] = None,
    list: Annotated[bool, Option("--list", help="Instead: say which cells are there.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Instead: check, and print what would be run.")] = False,
    table: Annotated[
        str | None, Option(metavar="METRIC", help="Instead: print this figure of the cells that are there.")
    ] = None,
    slurm: Annotated[
        str | None, Option(metavar="FILE", help="Instead: write an array-job script of the missing cells.")
    ] = None,
    cell: Annotated[str | None, Option(metavar="KEY", help="Instead: do this one cell.")] = None,
    json: Json = False,
) -> int:
    """Run a grid of trainings; finished cells are kept.

    Exit code 0 if all cells are there, 1 if not, 128 + n if stopped by signal n.
    """
    options = locals()
    from .sweep_actions import sweep

    return sweep(SimpleNamespace(**{**options, "overrides": overrides or []}))

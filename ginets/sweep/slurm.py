"""A sweep as a SLURM array job: one task for each cell that is missing."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .grid import Cell


SCRIPT = """\
#!/bin/bash
{options}
# {count} cells of {file}; the script names them by what decides their result, so a file that is changed later has others
KEYS=({keys})
cd {here}
exec {command} --cell "${{KEYS[$SLURM_ARRAY_TASK_ID]}}"
"""


def array_job(file: Path, words: Sequence[str], cells: Sequence[Cell], logs: Path, options: Mapping[str, Any]) -> str:
    """The text of the script.

    Args:
        file: of the sweep.
        words: what stands on the command line beside it.
        logs: folder for what the tasks print.
        options: of `sbatch`, without `--`; they go before ours. `null` leaves one of ours out.
    """
    ours = {
        "job-name": file.stem,
        "array": f"0-{len(cells) - 1}",
        "output": str(logs.absolute() / "%A_%a.log"),
        "ntasks": 1,
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in (ours | dict(options)).items() if value is not None]
    command = [sys.executable, "-m", "ginets.cli", "sweep", str(file.absolute()), *words]
    return SCRIPT.format(
        options="\n".join(lines),
        count=len(cells),
        file=file.name,
        keys=" ".join(cell.key for cell in cells),
        here=shlex.quote(os.getcwd()),
        command=shlex.join(command),
    )

"""Code that runs in two processes, connected by gloo."""

import os
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[1]
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
# The interpreter's own end is left out: gloo's threads outlive their process group (DTensor's caches hold it, for one),
# and torch then now and then aborts a process that has done all its work (pytorch/pytorch#190489).
END = "import os, sys\nsys.stdout.flush()\nsys.stderr.flush()\nos._exit(0)\n"


def run_in_two_processes(code: str, folder: Path) -> None:
    """Both run `code`, kept in `folder`, with one thread each; an error in one of them ends the test with it."""
    script = folder / "worker.py"
    script.write_text(f"{code}\n{END}", encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([*LAUNCHER, str(script)], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]

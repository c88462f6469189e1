"""`ginets bench [NAME]`: the measuring scripts of the repository."""

import subprocess
import sys
from pathlib import Path

from .command import PassedOn


KIND = PassedOn
EXAMPLES = """
ginets bench                                         # list the benchmarks
ginets bench gates --help
ginets bench serving --clients 32
"""
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def main(words: list[str]) -> int:
    """Run a benchmark of the repository, or list them.

    [NAME [ARGUMENT ...]]: the arguments are those of benchmarks/NAME.py. An installed package has no benchmarks: they
    are run from a checkout.
    """
    scripts = find_scripts()
    if not scripts:
        raise OSError(
            f"there is no {FOLDER.name}/ beside the package; install ginets from a checkout: pip install -e CHECKOUT."
        )
    if not words:
        width = max(map(len, scripts))
        for name, path in scripts.items():
            print(f"{name:{width}}  {first_line(path)}")
        return 0
    name, *rest = words
    if name not in scripts:
        raise ValueError(f"no benchmark {name!r}; choose from {', '.join(scripts)}.")
    return subprocess.run([sys.executable, str(scripts[name]), *rest]).returncode


def find_scripts() -> dict[str, Path]:
    """Name → script; only those that can be run."""
    paths = sorted(FOLDER.glob("*.py"))
    return {path.stem: path for path in paths if "__main__" in path.read_text(encoding="utf-8")}


def first_line(path: Path) -> str:
    """The first line of the docstring."""
    return path.read_text(encoding="utf-8").partition("\n")[0].strip('"')

"""The `ginets` command: `ginets VERB [ARGUMENT ...]`. A verb's module is light; what it needs is imported when it runs."""

import sys


def main(argv: list[str] | None = None) -> int:
    """Calls the verb; the exit code, as `errors.py` explains it.

    Raises:
        SystemExit: code 1 or 2, after one line on stderr that says why; or whatever a training script ends with.
    """
    from .app import APP
    from .command import call

    return call(APP, sys.argv[1:] if argv is None else argv)

"""What a verb says when it cannot do its work."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def in_one_line(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Errors about what the user gave end the process with exit code 2 and one line, not with a traceback."""
    try:
        yield
    except (ImportError, OSError, TypeError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: error: {' '.join(str(error).split())}\n")

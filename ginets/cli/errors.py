"""What a verb says when it cannot do its work: one line with what is wrong, and the traceback with --debug.

Exit codes: 0 done; 1 not done, or done with a negative finding; 2 used wrongly, or with input that cannot be used.
"""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer


# typer's own ways out, and a reader that has gone away
PASSED_ON = (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError)


@contextmanager
def in_one_line(program: str, debug: bool = False) -> Iterator[None]:
    """An error ends the process: code 2 where the input is at fault, 1 where it is not known what is.

    What a library has said in one line before it ended the process gets its traceback here as well.
    """
    try:
        yield
    except PASSED_ON:
        raise
    except SystemExit as ended:
        if debug and ended.__cause__ is not None:
            traceback.print_exception(ended.__cause__)
        raise
    except Exception as error:  # the outermost layer: one line for people, --debug for the rest
        if debug:
            traceback.print_exc()
        text = " ".join(str(error).split())
        if is_about_input(error):
            print(f"{program}: error: {text}", file=sys.stderr)
            raise SystemExit(2) from error
        name = type(error).__name__
        print(f"{program}: unexpected {name}: {text} (--debug shows where; please report it)", file=sys.stderr)
        raise SystemExit(1) from error


def is_about_input(error: Exception) -> bool:
    """Whether the user can mend it: the package raises these, and `FlagError`, for what it was given."""
    from huggingface_hub.errors import HTTPError, StrictDataclassError  # HTTPError: no network, among others

    return isinstance(error, (ImportError, OSError, TypeError, ValueError, HTTPError, StrictDataclassError))

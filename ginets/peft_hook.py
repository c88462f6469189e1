"""Registers the adapters of this package with PEFT as soon as PEFT is imported, so that nobody has to import it early."""

import warnings
from importlib import import_module

from packaging.version import Version

from .after_import import after_import


# from, below; the same as in setup.py
SUPPORTED_PEFT = ("0.21", "0.22")


class UnsupportedPeftError(ImportError):
    """A PEFT whose registration has not been tested."""


def register() -> None:
    """Import `ginets.tuners`, which registers. A PEFT it does not know is no reason to break `import peft`: a warning."""
    try:
        import_module(".tuners", __package__)
    except UnsupportedPeftError as error:
        warnings.warn(str(error), stacklevel=2)


def check_version(installed: str) -> None:
    """Raise `UnsupportedPeftError` if this version of PEFT is not supported."""
    least, below = SUPPORTED_PEFT
    if not Version(least) <= Version(installed) < Version(below):
        raise UnsupportedPeftError(
            f"the adapters of ginets work with peft>={least},<{below}; installed is {installed}. "
            "Install a supported version: pip install 'ginets[adapters]'."
        )


def install() -> None:
    """Register now if PEFT is there, otherwise when it comes."""
    after_import("peft", register)

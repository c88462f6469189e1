"""Registers the adapters of this package with PEFT as soon as PEFT is imported, so that nobody has to import it early."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from packaging.version import Version


# from, below; the same as in setup.py
SUPPORTED_PEFT = ("0.21", "0.22")


class UnsupportedPeftError(ImportError):
    """A PEFT whose registration has not been tested."""


class AfterPeft(MetaPathFinder):
    """Finds `peft` as the other finders do, and adds a step to the end of its import.

    It stays until PEFT has been imported: many a program asks for the spec first, to see whether PEFT is installed.
    """

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "peft":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            spec.loader = ThenRegister(spec.loader)
        return spec


class ThenRegister(Loader):
    """A loader that loads the module as `loader` does and then registers the adapters."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, AfterPeft)]
        register()


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
    if sys.modules.get("peft"):  # None: somebody has blocked it
        register()
    elif not any(isinstance(finder, AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterPeft())

"""Registers the adapters of this package with PEFT as soon as PEFT is imported, so that nobody has to import it early."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class AfterPeft(MetaPathFinder):
    """Finds `peft` as the other finders do, and adds a step to the end of its import."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "peft":
            return None
        sys.meta_path.remove(self)  # once; the next line asks the others
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)
            return None
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
        register()


def register() -> None:
    """Import `ginets.tuners`, which registers. A PEFT it does not know is no reason to break `import peft`: a warning."""
    try:
        import_module(".tuners", __package__)
    except ImportError as error:
        warnings.warn(str(error), stacklevel=2)


def install() -> None:
    """Register now if PEFT is there, otherwise when it comes."""
    if "peft" in sys.modules:
        register()
    elif not any(isinstance(finder, AfterPeft) for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterPeft())

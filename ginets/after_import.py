"""Does something as soon as a package has been imported, by whoever needs it, so that nobody has to import it early."""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class AfterImport(MetaPathFinder):
    """Finds a package as the other finders do, and adds a step to the end of its import.

    It stays until the package has been imported: many a program asks for the spec first, to see whether it is installed.
    """

    def __init__(self, package: str, step: Callable[[], object]):
        self.package, self.step = package, step

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.package:
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            spec.loader = ThenStep(spec.loader, self)
        return spec


class ThenStep(Loader):
    """A loader that loads the module as `loader` does and then does the step of `finder`."""

    def __init__(self, loader: Loader, finder: AfterImport):
        self.loader, self.finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self.finder]
        self.finder.step()


def after_import(package: str, step: Callable[[], object]) -> None:
    """Call `step` now if `package` is there, otherwise when it comes."""
    if sys.modules.get(package):  # None: somebody has blocked it
        step()
    else:
        sys.meta_path.insert(0, AfterImport(package, step))

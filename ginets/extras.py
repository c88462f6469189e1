"""Optional dependencies: one place that says which extra to install."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise an `ImportError` that names the `ginets[extra]` which brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise  # `module` is there, something it needs is not
        raise ImportError(f"`{module}` is not installed; it comes with `pip install 'ginets[{extra}]'`.") from error

"""What the package stands on: optional dependencies and the extra that brings each, versions, the processor."""

import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType


PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "huggingface-hub", "peft", "datasets")


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, or raise an `ImportError` that names the `ginets[extra]` which brings it."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise  # `module` is there, something it needs is not
        raise ImportError(f"`{module}` is not installed; it comes with `pip install 'ginets[{extra}]'`.") from error


def versions() -> dict[str, str]:
    """Package → installed version, of those that decide a result."""
    found = {"ginets": import_module(__package__).__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def processor() -> str:
    """The name of the processor; on Linux `platform` knows the architecture only."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())

"""`ginets env`: what a bug report needs."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from .. import __version__


PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "huggingface-hub", "peft", "datasets")


def versions() -> dict[str, str]:
    """Package → installed version."""
    found = {"ginets": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser("ginets env", description="Versions and hardware, for bug reports.").parse_args(arguments)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    for name, value in (versions() | {"platform": platform.platform(), "gpu": gpu}).items():
        print(f"{name:16} {value}")
    return 0

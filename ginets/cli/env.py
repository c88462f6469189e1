"""`ginets env`: what a bug report needs."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from .. import __version__


PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "huggingface-hub", "peft", "datasets")


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser("ginets env", description="Versions and hardware, for bug reports.").parse_args(arguments)
    rows = {"ginets": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            rows[package] = version(package)
        except PackageNotFoundError:
            rows[package] = "not installed"
    rows["gpu"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    for name, value in rows.items():
        print(f"{name:16} {value}")
    return 0

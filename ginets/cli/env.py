"""`ginets env`: what a bug report needs."""

import argparse
import platform

import torch

from ..extras import versions


def main(arguments: list[str]) -> int:
    argparse.ArgumentParser("ginets env", description="Versions and hardware, for bug reports.").parse_args(arguments)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    for name, value in (versions() | {"platform": platform.platform(), "gpu": gpu}).items():
        print(f"{name:16} {value}")
    return 0

"""`ginets env`: what a bug report needs, and nothing that is private: no paths, no names of machines or users."""

import json as as_json
import os
import platform
from importlib.metadata import PackageNotFoundError, version

from ..extras import processor, versions
from .command import Json


EXAMPLES = """
ginets env
ginets env --json
"""
# beside those that decide a result: what verbs need
OPTIONAL = (
    "numpy", "scikit-learn", "scipy", "pyyaml", "matplotlib", "bitsandbytes", "trl", "sacrebleu", "onnx",
    "onnxruntime", "fastapi", "uvicorn", "gradio", "openai", "ray", "typer",
)  # fmt: skip
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM")


def main(json: Json = False) -> None:
    """Print versions and hardware, for bug reports.

    Paste the output into the report; it names no paths, users or machines.
    """
    facts = environment()
    if json:
        print(as_json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:{width}}  {'not set' if value is None else value}")


def environment() -> dict[str, str | int | None]:
    """Fact → value."""
    import torch

    return {
        **versions(),
        **{package: installed(package) for package in OPTIONAL},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator(torch),
        "cuda": torch.version.cuda,
        **{name: os.environ.get(name) for name in VARIABLES},
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def accelerator(torch) -> str:
    """Kind, number and name of what torch computes on beside the CPU."""
    if not torch.accelerator.is_available():
        return "none"
    kind, count = torch.accelerator.current_accelerator().type, torch.accelerator.device_count()
    return f"{count} × {torch.cuda.get_device_name()}" if kind == "cuda" else f"{count} × {kind}"

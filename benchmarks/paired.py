"""Paired timing: things that are compared run in turn, in one process, and their ratios are taken round by round.

On a CPU one thread and its processor time are used, which another busy core disturbs least.
"""

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

import ginets
from ginets.extras import processor


def seconds(run: Callable[[], object], device: str) -> float:
    """Processor time of `run` on a CPU, wall time up to the end of its kernels on a GPU."""
    if device == "cpu":
        start = time.process_time()
        run()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def wall_seconds(run: Callable[[], object], device: str) -> float:
    """Of runs that wait for other processes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(
    runs: dict[str, Callable[[], object]], repeats: int, device: str, warmup: int = 1, clock: Callable = seconds
) -> dict[str, dict]:
    """Median seconds of each run and the median of its ratios to the first one, over `repeats` alternating rounds."""
    for _ in range(warmup):
        for run in runs.values():
            run()
    times = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            times[name].append(clock(run, device))
    base = next(iter(times.values()))
    return {
        name: {
            "median_s": round(statistics.median(measured), 4),
            "ratio": round(statistics.median(a / b for a, b in zip(measured, base, strict=True)), 4),
        }
        for name, measured in times.items()
    }


def environment(device: str) -> dict:
    """What a figure depends on: versions, hardware, threads."""
    return {
        "ginets": ginets.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "hardware": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "threads": torch.get_num_threads(),
    }


def arguments(description: str, **defaults) -> argparse.Namespace:
    """The options every benchmark has (batch size, lengths, repeats, seed, device, output) with this one's defaults."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name, value in {"repeats": 7, "seed": 0, "device": "cpu", **defaults}.items():
        many = {"nargs": "+", "type": type(value[0])} if isinstance(value, list) else {"type": type(value)}
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **many)
    parser.add_argument("--out", help="write the JSON here as well")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    if options.device == "cpu":
        torch.set_num_threads(1)
    return options


def report(options: argparse.Namespace, figures: dict):
    """Prints the figures with the options and the environment as JSON, and writes them to `--out`."""
    # of a folder its name: where it lies says nothing to a reader
    settings = {
        name: Path(value).name if isinstance(value, str) and Path(value).exists() else value
        for name, value in vars(options).items()
        if name != "out"
    }
    text = json.dumps({"figures": figures, "options": settings, "environment": environment(options.device)}, indent=2)
    sys.stdout.write(text + "\n")
    if options.out:
        Path(options.out).write_text(text + "\n", encoding="utf-8")

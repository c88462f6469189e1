"""DeBERTa-v3-base, gates off: our attention against stock transformers, in time and peak memory.

    python benchmarks/deberta_attention.py --seq-len 512 --batch-size 2 --out benchmarks/results/deberta_512.json

Both models have the same weights and inputs and take turns; each figure is the median over the repeats of
stock / ours, so above 1 is faster. On a CPU one thread is used and CPU time is counted, which other processes disturb
least; on a GPU it is wall time between synchronisations. Memory is what one step adds at its peak to the model and its
gradients: on a CPU the growth of the resident set in a process of its own (Linux), on a GPU of the allocated memory.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import transformers
from transformers import DebertaV2Config, DebertaV2ForTokenClassification

from ginets import DebertaV2GIConfig, DebertaV2GIForTokenClassification


V3_BASE = {
    "vocab_size": 128100,
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
}
MODELS = {
    "stock": (DebertaV2ForTokenClassification, DebertaV2Config),
    "ours": (DebertaV2GIForTokenClassification, DebertaV2GIConfig),
}
MODES = ("train", "infer")
MIB = 2**20


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seq-len", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument(
        "--attn", default="sdpa", choices=["eager", "sdpa"], help="our attention; stock has eager only"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file; standard output if not given")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)  # model and mode, in a child process
    return parser.parse_args()


def build(name: str, args: argparse.Namespace) -> torch.nn.Module:
    model_class, config_class = MODELS[name]
    config = config_class(
        **V3_BASE, num_hidden_layers=args.layers, attn_implementation="eager" if name == "stock" else args.attn
    )
    torch.manual_seed(args.seed)
    return model_class(config).to(args.device, getattr(torch, args.dtype))


def batch(args: argparse.Namespace, length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(args.seed)
    input_ids = torch.randint(1, V3_BASE["vocab_size"], (args.batch_size, length), generator=generator)
    labels = torch.randint(0, 2, input_ids.shape, generator=generator)
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}
    return {key: value.to(args.device) for key, value in inputs.items()}


def step(model: torch.nn.Module, mode: str, inputs: dict[str, torch.Tensor]) -> None:
    """One forward pass, in training with its backward pass; gradients are added up."""
    model.train(mode == "train")
    with torch.set_grad_enabled(mode == "train"):
        loss = model(**inputs).loss
    if mode == "train":
        loss.backward()


def seconds(model: torch.nn.Module, mode: str, inputs: dict[str, torch.Tensor], args: argparse.Namespace) -> float:
    on_cpu = args.device == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    synchronise = (lambda: None) if on_cpu else torch.cuda.synchronize
    synchronise()
    start = clock()
    step(model, mode, inputs)
    synchronise()
    return clock() - start


def resident(field: str) -> int:
    """A figure of this process in bytes: `VmRSS`, what is resident now, or `VmHWM`, its peak."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def step_memory(name: str, mode: str, args: argparse.Namespace) -> int:
    """Bytes that one step adds at its peak to the model and its gradients."""
    model = build(name, args)
    step(model, mode, batch(args, 8))  # allocates the gradients
    inputs = batch(args, args.seq_len)
    if args.device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # starts the peak afresh
        before = resident("VmRSS")
        step(model, mode, inputs)
        return resident("VmHWM") - before
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    step(model, mode, inputs)
    return torch.cuda.max_memory_allocated() - before


def memory_in_child(name: str, mode: str) -> int:
    """`step_memory` in a fresh process, whose allocator hands freed blocks back at once."""
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", name, mode]
    return int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def times(args: argparse.Namespace) -> dict[str, dict]:
    models = {name: build(name, args) for name in MODELS}
    models["ours"].load_state_dict(models["stock"].state_dict())
    inputs = batch(args, args.seq_len)
    results = {}
    for mode in MODES:
        measured = {name: [] for name in models}
        for _ in range(args.repeats + 1):
            for name, model in models.items():
                measured[name].append(seconds(model, mode, inputs, args))
        measured = {name: values[1:] for name, values in measured.items()}  # the first one warms up
        ratios = [stock / ours for stock, ours in zip(measured["stock"], measured["ours"], strict=True)]
        results[mode] = {
            "speedup_median": round(statistics.median(ratios), 3),
            "speedup_range": [round(min(ratios), 3), round(max(ratios), 3)],
            "seconds": {name: [round(value, 4) for value in values] for name, values in measured.items()},
        }
    return results


def hardware(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    args = parse_arguments()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    if args.memory_of:
        print(step_memory(*args.memory_of, args))
        return
    results = times(args)
    for mode in MODES:
        peaks = {name: memory_in_child(name, mode) for name in MODELS}
        results[mode]["peak_mib"] = {name: round(peak / MIB, 1) for name, peak in peaks.items()}
        results[mode]["memory_ratio"] = round(peaks["ours"] / peaks["stock"], 3)
    settings = {key: value for key, value in vars(args).items() if key not in ("out", "memory_of")}
    report = {
        "benchmark": "deberta_attention",
        "settings": settings | {"threads": 1},
        "results": results,
        "hardware": hardware(args.device),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }
    text = json.dumps(report, indent=2) + "\n"
    if args.out:
        args.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()

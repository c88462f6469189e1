"""DeBERTa-v3-base, gates off: our attention against stock transformers, in time and peak memory.

    python benchmarks/deberta_attention.py --seq-len 512 --batch-size 2 --out benchmarks/results/deberta_512.json

Both models have the same weights and inputs. `speedup` is stock / ours, the median over alternating rounds. Memory is
what one step adds at its peak to the model and its gradients: on a CPU the growth of the resident set in a process of
its own (Linux), on a GPU of the allocated memory.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from transformers import DebertaV2Config, DebertaV2ForTokenClassification

from ginets import DebertaV2GIConfig, DebertaV2GIForTokenClassification
from paired import arguments, compare, report


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
# The first one is what the others are compared with.
MODELS = {
    "ours": (DebertaV2GIForTokenClassification, DebertaV2GIConfig),
    "stock": (DebertaV2ForTokenClassification, DebertaV2Config),
}
MODES = ("train", "infer")
MIB = 2**20


def build(name: str, options: argparse.Namespace) -> torch.nn.Module:
    """A model on the device. Stock transformers has eager attention only."""
    model_class, config_class = MODELS[name]
    attention = "eager" if name == "stock" else options.attn
    config = config_class(**V3_BASE, num_hidden_layers=options.layers, attn_implementation=attention)
    return model_class(config).to(options.device, getattr(torch, options.dtype))


def batch(options: argparse.Namespace, length: int) -> dict[str, torch.Tensor]:
    input_ids = torch.randint(1, V3_BASE["vocab_size"], (options.batch_size, length))
    labels = torch.randint(0, 2, input_ids.shape)
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), "labels": labels}
    return {key: value.to(options.device) for key, value in inputs.items()}


def step(model: torch.nn.Module, mode: str, inputs: dict[str, torch.Tensor]):
    """One forward pass, in training with its backward pass; gradients are added up."""
    model.train(mode == "train")
    with torch.set_grad_enabled(mode == "train"):
        loss = model(**inputs).loss
    if mode == "train":
        loss.backward()


def resident(field: str) -> int:
    """A figure of this process in bytes: `VmRSS`, what is resident now, or `VmHWM`, its peak."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def step_memory(name: str, mode: str, options: argparse.Namespace) -> int:
    """Bytes that one step adds at its peak to the model and its gradients."""
    model = build(name, options)
    step(model, mode, batch(options, 8))  # allocates the gradients
    inputs = batch(options, options.seq_len)
    if options.device == "cpu":
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts afresh
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
    command = [sys.executable, __file__, *sys.argv[1:], "--memory-of", f"{name},{mode}"]
    return int(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    options = arguments(
        "DeBERTa-v3-base: our attention against stock transformers.",
        seq_len=512,
        batch_size=2,
        layers=12,
        attn="sdpa",
        dtype="float32",
        memory_of="",  # "model,mode": print the memory of one step and stop (used for the child processes)
    )
    transformers.logging.set_verbosity_error()
    if options.memory_of:
        sys.stdout.write(str(step_memory(*options.memory_of.split(","), options)))
        return

    models = {name: build(name, options) for name in MODELS}
    models["stock"].load_state_dict(models["ours"].state_dict())
    inputs = batch(options, options.seq_len)
    figures = {}
    for mode in MODES:
        runs = {name: lambda model=model, mode=mode: step(model, mode, inputs) for name, model in models.items()}
        times = compare(runs, options.repeats, options.device)
        peaks = {name: memory_in_child(name, mode) for name in MODELS}
        figures[mode] = {
            "speedup": times["stock"]["ratio"],
            "median_s": {name: times[name]["median_s"] for name in MODELS},
            "memory_ratio": round(peaks["ours"] / peaks["stock"], 3),
            "peak_mib": {name: round(peak / MIB, 1) for name, peak in peaks.items()},
        }
    report(options, figures)


if __name__ == "__main__":
    main()

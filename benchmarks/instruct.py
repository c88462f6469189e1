"""Instruction tuning of a small pretrained Llama: LoRA, InA, LlamaInA and all weights on Alpaca's rows.

    python -m tests.stories STORIES LLAMA        # the files of stories260K as a folder that transformers loads
    python benchmarks/instruct.py --model LLAMA --data alpaca.json --work runs/instruct \
        --out benchmarks/results/instruct.json

Each training is `ginets train instruct` in a process of its own with one thread. Perplexity is that of a token of the
responses to the `--held-out` rows that the seed keeps back; `before` is the model as it comes, on the same rows. All
low-rank variants have rank 8 on the queries and values of all layers, α = 16. Rates were not searched. The first variant
is the one others are compared to.
"""

import json
import sys
from functools import partial
from pathlib import Path

from cells import kept, peak_memory, report_table

from paired import arguments


PLACES = ["q_proj", "v_proj"]
RANK = ["--r", "8", "--target_modules", *PLACES]
BRANCHES = ["--ina_rank", "8", "--ina_alpha", "16", "--ina_target_modules", *PLACES]
# what each variant adds to the command, and its learning rate
VARIANTS = {
    "lora": (["--adapter", "lora", *RANK, "--lora_alpha", "16"], 3e-3),
    "ina-0.3": (["--adapter", "ina", *RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", "0.3"], 3e-3),
    "llama-ina-0.3": ([*BRANCHES, "--inhibition_level", "0.3"], 3e-3),
    "full": ([], 1e-3),
    "before": ([], 0.0),
}
SCORES = ("perplexity",)


def cell(options, seed: int, variant: str) -> dict[str, float]:
    """The figures of one training, read from its folder if it has been done before."""
    folder = Path(options.work) / f"{variant}-{seed}"
    return kept(folder, lambda: train(options, folder, seed, *VARIANTS[variant]))


def train(options, folder: Path, seed: int, added: list[str], rate: float) -> dict[str, float]:
    words = [
        *("--model_name_or_path", options.model, "--output_dir", folder, "--train_file", options.data, *added),
        *("--validation_rows", options.held_out, "--max_seq_length", 512, "--bad_rows", "skip"),
        *("--do_eval", "--seed", seed),
        *(["--do_train", "--learning_rate", rate] if rate else []),
        *("--num_train_epochs", options.epochs, "--per_device_train_batch_size", 16, "--warmup_steps", "0.05"),
        *("--eval_strategy", "no", "--save_strategy", "no"),
        *("--use_cpu", "--disable_tqdm", "true", "--report_to", "none"),
    ]
    memory = peak_memory([sys.executable, "-m", "ginets.cli", "train", "instruct", *map(str, words)])
    results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    figures = {"perplexity": results["eval_perplexity"], "peak_memory_mib": memory}
    if rate:
        figures |= {"train_rows": results["train_samples"], "train_seconds": round(results["train_runtime"])}
    return figures | {name: value for name, value in results.items() if "trainable_parameters" in name}


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", data="", work="runs/instruct", variants=list(VARIANTS), seeds=[1, 2, 3], workers=1, epochs=1,
        held_out=500,
    )  # fmt: skip
    report_table(options, partial(cell, options), VARIANTS, SCORES)


if __name__ == "__main__":
    main()

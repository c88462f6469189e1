"""Does a method help? Full fine-tuning, gates and adapters on one GLUE task over several seeds, same settings for all.

    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --out benchmarks/results/mrpc_minilm.json
    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --variants full lora ina ... --epochs 3

Every run is `run_glue.py` in a process of its own with one thread, `--workers` of them at a time, and ends with its
last checkpoint: none is selected. Nothing is tuned; the learning rates stand in `VARIANTS`. Finished runs are kept in
`--work` under a name made from their command, and not done again. The first variant is the one others are compared to.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from paired import arguments, report


RUN_GLUE = Path(__file__).resolve().parents[1] / "run_glue.py"
TARGETS = ["--target_modules", "query", "key", "value"]
LOW_RANK = [*TARGETS, "--r", "8"]
LORA = [*LOW_RANK, "--lora_alpha", "16"]
# what each variant adds to the command, and its learning rate
VARIANTS = {
    "full": ([], 1e-4),
    "gated": (["--gi_query_side", "--gi_key_side", "--inhibition_level", "0.3"], 1e-4),
    "lora": (["--adapter", "lora", *LORA], 1e-3),
    "adalora": (["--adapter", "adalora", *TARGETS, "--init_r", "12", "--target_r", "8", "--lora_alpha", "16"], 1e-3),
    "vera": (["--adapter", "vera", *TARGETS, "--r", "256"], 1e-2),
    "ina-0.1": (
        ["--adapter", "ina", *LOW_RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", "0.1"],
        1e-3,
    ),
    "ina-0.3": (
        ["--adapter", "ina", *LOW_RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", "0.3"],
        1e-3,
    ),
    "ina-0.9": (
        ["--adapter", "ina", *LOW_RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", "0.9"],
        1e-3,
    ),
    **{
        f"mtlora-{structure.lower()}": (["--adapter", "mtlora", *LORA, "--structure", structure], 1e-3)
        for structure in ("SHIM", "ICFM", "CTCM", "DTSM")
    },
    "aflora": (["--adapter", "aflora", *LOW_RANK], 1e-2),
    # a gate needs 1/(rate · λ) steps from 1 to 0: at the default rate of 1 more than two epochs of MRPC have
    "sora": (["--adapter", "sora", *LORA, "--gate_lr", "10"], 1e-3),
}
SCORES = ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "combined_score", "loss")


def run(options, seed: int, variant: str) -> dict[str, float]:
    """The figures of one run; reads them from its folder if it has been done before."""
    added, learning_rate = VARIANTS[variant]
    words = [
        *("--task_name", options.task, "--do_train", "--do_eval", "--load_best_model_at_end", "false"),
        *("--save_strategy", "no", "--disable_tqdm", "true", "--seed", seed, "--learning_rate", learning_rate),
        *("--num_train_epochs", options.epochs, "--per_device_train_batch_size", options.batch_size, *added),
    ]
    key = hashlib.sha256(json.dumps(words).encode()).hexdigest()[:8]
    folder = Path(options.work) / f"{options.task}-{variant}-{seed}-{key}"
    figures = folder / "figures.json"
    if not figures.exists():
        command = [sys.executable, RUN_GLUE, "--model_name_or_path", options.model, "--glue_dir", options.glue_dir]
        command += ["--output_dir", folder, *words]
        memory = peak_memory([str(word) for word in command])
        results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
        kept = {name: results[f"eval_{name}"] for name in SCORES if f"eval_{name}" in results}
        kept |= {name: value for name, value in results.items() if "trainable_parameters" in name}
        figures.write_text(json.dumps(kept | {"peak_memory_mib": memory}), encoding="utf-8")
    return json.loads(figures.read_text(encoding="utf-8"))


def peak_memory(command: list[str]) -> int:
    """Run a command with one thread; the largest size its process had in memory, in MiB."""
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss // 1024


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", task="mrpc", variants=["full", "gated"], seeds=[1, 2, 3], epochs=3, batch_size=16,
        work="runs/seeds", workers=1,
    )  # fmt: skip
    if unknown := sorted(set(options.variants) - VARIANTS.keys()):
        sys.exit(f"--variants has {', '.join(unknown)}; known are {', '.join(VARIANTS)}.")
    cells = list(product(options.seeds, options.variants))
    with ThreadPoolExecutor(options.workers) as pool:
        runs = dict(zip(cells, pool.map(lambda cell: run(options, *cell), cells), strict=True))
    first = options.variants[0]
    summary = {}
    for variant in options.variants:
        values = {name: [runs[seed, variant][name] for seed in options.seeds] for name in runs[cells[0][0], variant]}
        gains = {
            f"{name}_minus_{first}": [
                mine - runs[seed, first][name] for mine, seed in zip(values[name], options.seeds, strict=True)
            ]
            for name in SCORES
            if name in values and variant != first
        }
        summary[variant] = {name: mean_and_deviation(each) for name, each in (values | gains).items()}
        summary[variant]["learning_rate"] = VARIANTS[variant][1]
    report(
        options, {"runs": {f"{variant}-{seed}": runs[seed, variant] for seed, variant in cells}, "summary": summary}
    )


def mean_and_deviation(values: list[float]) -> dict[str, float]:
    return {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}


if __name__ == "__main__":
    main()

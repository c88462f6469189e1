"""Does a gate help? Stock and gated models on one GLUE task over several seeds, same settings, last checkpoint.

    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --out benchmarks/results/mrpc_minilm.json

Every run is `run_glue.py` in a process of its own with one thread, `--workers` of them at a time. No checkpoint is
selected and nothing is tuned for either side. Finished runs are kept in `--work` and not done again.
"""

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
VARIANTS = {"stock": [], "gated": ["--gi_query_side", "--gi_key_side", "--inhibition_level", "0.3"]}
SCORES = ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "combined_score", "loss")


def run(options, seed: int, variant: str) -> dict[str, float]:
    """The scores of one run; reads them from its folder if it has been done before."""
    folder = Path(options.work) / f"{options.task}-{variant}-{seed}"
    results = folder / "all_results.json"
    if not results.exists():
        command = [
            *(sys.executable, RUN_GLUE, "--model_name_or_path", options.model, "--output_dir", folder),
            *("--task_name", options.task, "--glue_dir", options.glue_dir, "--do_train", "--do_eval"),
            *("--load_best_model_at_end", "false", "--save_strategy", "no", "--disable_tqdm", "true", "--seed", seed),
            *("--learning_rate", options.learning_rate, "--num_train_epochs", options.epochs),
            *("--per_device_train_batch_size", options.batch_size, *VARIANTS[variant]),
        ]
        subprocess.run([str(word) for word in command], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    figures = json.loads(results.read_text(encoding="utf-8"))
    return {name: figures[f"eval_{name}"] for name in SCORES if f"eval_{name}" in figures}


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", task="mrpc", seeds=[1, 2, 3], epochs=3, learning_rate=5e-5, batch_size=16,
        work="runs/seeds", workers=1,
    )  # fmt: skip
    cells = list(product(options.seeds, VARIANTS))
    with ThreadPoolExecutor(options.workers) as pool:
        runs = dict(zip(cells, pool.map(lambda cell: run(options, *cell), cells), strict=True))
    summary = {}
    for metric in runs[cells[0]]:
        values = {variant: [runs[seed, variant][metric] for seed in options.seeds] for variant in VARIANTS}
        values["gain"] = [gated - stock for gated, stock in zip(values["gated"], values["stock"], strict=True)]
        summary[metric] = {name: mean_and_deviation(each) for name, each in values.items()}
    report(
        options, {"runs": {f"{variant}-{seed}": runs[seed, variant] for seed, variant in cells}, "summary": summary}
    )


def mean_and_deviation(values: list[float]) -> dict[str, float]:
    return {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}


if __name__ == "__main__":
    main()

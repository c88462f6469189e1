"""Does a gate help? Stock and gated models on one GLUE task over several seeds, same settings, last checkpoint.

    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --out benchmarks/results/mrpc_minilm.json

Runs `run_glue.py`'s own recipe. No checkpoint is selected and nothing is tuned for either side.
"""

import statistics
import tempfile
from pathlib import Path

from ginets.recipes.glue import main as run_glue
from paired import arguments, report


VARIANTS = {"stock": [], "gated": ["--gi_query_side", "--gi_key_side", "--inhibition_level", "0.3"]}


def run(options, variant: str, seed: int, folder: Path) -> dict[str, float]:
    figures = run_glue(
        [
            *("--model_name_or_path", options.model, "--task_name", options.task, "--glue_dir", options.glue_dir),
            *("--do_train", "--do_eval", "--load_best_model_at_end", "false", "--save_strategy", "no"),
            *("--learning_rate", str(options.learning_rate), "--num_train_epochs", str(options.epochs)),
            *("--per_device_train_batch_size", str(options.batch_size), "--seed", str(seed), "--disable_tqdm", "true"),
            *("--output_dir", str(folder / f"{variant}-{seed}"), *VARIANTS[variant]),
        ]
    )
    scores = ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "combined_score", "loss")
    return {name: figures[f"eval_{name}"] for name in scores if f"eval_{name}" in figures}


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", task="mrpc", seeds=[1, 2, 3], epochs=3, learning_rate=5e-5, batch_size=16,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            seed: {variant: run(options, variant, seed, Path(folder)) for variant in VARIANTS}
            for seed in options.seeds
        }
    summary = {}
    for metric in next(iter(runs.values()))["stock"]:
        values = {variant: [runs[seed][variant][metric] for seed in options.seeds] for variant in VARIANTS}
        gains = [gated - stock for gated, stock in zip(values["gated"], values["stock"], strict=True)]
        summary[metric] = {name: mean_and_deviation(each) for name, each in (values | {"gain": gains}).items()}
    report(options, {"runs": runs, "summary": summary})


def mean_and_deviation(values: list[float]) -> dict[str, float]:
    return {"mean": round(statistics.mean(values), 4), "sd": round(statistics.stdev(values), 4)}


if __name__ == "__main__":
    main()

"""Does a method help? Full fine-tuning, gates and adapters on one GLUE task over several seeds, same settings for all.

    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --epochs 2 --out benchmarks/results/mrpc_minilm.json
    python benchmarks/glue_seeds.py --model MODEL --glue-dir GLUE --variants full lora ina ... --epochs 3

Every run is `run_glue.py` in a process of its own with one thread, `--workers` of them at a time, and ends with its
last checkpoint: none is selected. Nothing is tuned; the learning rates stand in `VARIANTS`. Finished runs are kept in
`--work` under a name made from their command, and not done again. The first variant is the one others are compared to.
"""

from functools import partial

from cells import GATES, LORA, LOW_RANK, TARGETS, ina, report_table, run

from paired import arguments


# what each variant adds to the command, and its learning rate
VARIANTS = {
    "full": ([], 1e-4),
    "gated": (GATES, 1e-4),
    "lora": (LORA, 1e-3),
    "adalora": (["--adapter", "adalora", *TARGETS, "--init_r", "12", "--target_r", "8", "--lora_alpha", "16"], 1e-3),
    "vera": (["--adapter", "vera", *TARGETS, "--r", "256"], 1e-2),
    **{f"ina-{level}": (ina(level), 1e-3) for level in (0.1, 0.3, 0.9)},
    **{
        f"mtlora-{structure.lower()}": (["--adapter", "mtlora", *LORA[2:], "--structure", structure], 1e-3)
        for structure in ("SHIM", "ICFM", "CTCM", "DTSM")
    },
    "aflora": (["--adapter", "aflora", *LOW_RANK], 1e-2),
    # a gate that the loss ignores needs 1/(rate · λ) steps of full rate from 1 to 0: 333, and two epochs of MRPC have 460
    # that decay to none; at the default rate of 1 none would come near
    "sora": (["--adapter", "sora", *LORA[2:], "--gate_lr", "10"], 1e-3),
}
SCORES = ("accuracy", "f1", "matthews_correlation", "pearson", "spearmanr", "combined_score", "loss")


def cell(options, seed: int, variant: str) -> dict[str, float]:
    """The figures of one run."""
    added, learning_rate = VARIANTS[variant]
    words = [
        *("--task_name", options.task, "--do_train", "--do_eval", "--load_best_model_at_end", "false"),
        *("--save_strategy", "no", "--disable_tqdm", "true", "--seed", seed, "--learning_rate", learning_rate),
        *("--num_train_epochs", options.epochs, "--per_device_train_batch_size", options.batch_size, *added),
    ]
    places = ["--model_name_or_path", options.model, "--glue_dir", options.glue_dir]
    return run("run_glue.py", f"{options.task}-{variant}-{seed}", words, places, options.work, SCORES)


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", task="mrpc", variants=["full", "gated"], seeds=[1, 2, 3], epochs=3, batch_size=16,
        work="runs/seeds", workers=1,
    )  # fmt: skip
    report_table(options, partial(cell, options), VARIANTS, SCORES)


if __name__ == "__main__":
    main()

"""Do gates and inhibited adapters help in question answering? Each variant over several seeds, same settings for all.

    python benchmarks/squad_seeds.py --model MODEL --data-dir SQUAD --version v2.0 --work runs/squad --workers 2 \
        --out benchmarks/results/squad_v2_minilm.json
    python benchmarks/squad_seeds.py --model MODEL --data-dir SQUAD --version v1.1 --work runs/squad --tune 1 \
        --out benchmarks/results/squad_rates.json

SQUAD/<version> holds train.json and dev.json in the official schema. Every run is `run_squad.py` in a process of its
own with one thread, for one epoch without dropout, and ends with its last checkpoint: none is selected, and nothing is
tuned on the data that is scored. Models stay in `--work`, for `ginets relevance` and `ginets heatmap`. The first variant
is the one others are compared to. `--tune 1` gives the training loss of shorter runs instead, by learning rate: in one
epoch no row is seen twice, so it is a loss on rows that the model did not know.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

from cells import GATES, LORA, folder_of, ina, report_table, run
from transformers import AutoConfig

from ginets.data.squad import read_golds
from ginets.metrics.squad import evaluate_v2
from paired import arguments, report


# by the training loss of shorter runs; gates take the rate of stock, and `--tune` gave LoRA and InA the same one
FULL_RATE, ADAPTER_RATE = 2e-4, 3e-3
TUNED, GRID, TUNING_ROWS, TUNING_SEED = ("lora", "ina-0.3"), (1e-3, 3e-3), 3000, 100
# what each variant adds to the command, and its learning rate
VARIANTS = {
    "stock": ([], FULL_RATE),
    "gi-0.3": (GATES, FULL_RATE),
    "lora": (LORA, ADAPTER_RATE),
    "lora-slow": (LORA, 1e-3),  # on SQuAD 2.0 the rate of the others is too high for LoRA
    **{f"ina-{level}": (ina(level), ADAPTER_RATE) for level in (0.1, 0.3, 0.9)},
}
SCORES = (
    "exact", "f1", "exact_match", "HasAns_exact", "HasAns_f1", "NoAns_exact", "best_exact", "best_exact_thresh",
    "best_f1", "best_f1_thresh", "loss", "span_exact", "span_f1",
)  # fmt: skip


def cell(options, config: Path, seed: int, variant: str) -> dict[str, float]:
    """The figures of one run, those of the best spans among them."""
    figures, folder = train(options, config, seed, variant, VARIANTS[variant][1], "--do_eval")
    return figures | best_spans(folder, Path(options.data_dir) / options.version / "dev.json")


def train(options, config: Path, seed: int, variant: str, rate: float, *more: str) -> tuple[dict[str, float], Path]:
    """Figures and folder of one run; `more`: what it does beside training."""
    words = [
        *("--do_train", *more, "--eval_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "true"),
        *("--seed", seed, "--learning_rate", rate, "--warmup_steps", "0.1", "--num_train_epochs", "1"),
        *("--per_device_train_batch_size", options.batch_size, *(["--bf16"] if options.bf16 else [])),
        *VARIANTS[variant][0],
        *(["--use_cpu"] if options.device == "cpu" else []),
    ]
    data = Path(options.data_dir) / options.version
    # eager attention: the same figures, and on a CPU a step of training takes three quarters of the time
    places = ["--model_name_or_path", options.model, "--config_name", config, "--attn_implementation", "eager"]
    places += ["--train_file", data / "train.json", "--validation_file", data / "dev.json"]
    name = f"squad-{options.version}-{variant}-{seed}"
    return run("run_squad.py", name, words, places, options.work, SCORES), folder_of(name, words, options.work)


def tune(options, config: Path) -> dict[str, dict[str, float]]:
    """Training loss by variant and learning rate; the lowest is the one to take."""
    rows = ("--max_train_samples", str(TUNING_ROWS))

    def loss(tried: tuple[str, float]) -> float:
        return round(train(options, config, TUNING_SEED, *tried, *rows)[0]["train_loss"], 4)

    with ThreadPoolExecutor(options.workers) as pool:
        losses = list(pool.map(loss, grid := list(product(TUNED, GRID))))
    return {
        variant: {str(rate): value for (of, rate), value in zip(grid, losses, strict=True) if of == variant}
        for variant in TUNED
    }


def best_spans(folder: Path, data: Path) -> dict[str, float]:
    """Figures of answerable questions if "no answer" is never chosen: what a model knows beside when to be silent."""
    golds = {name: texts for name, texts in read_golds(data)[0].items() if texts}
    nbest = json.loads((folder / "nbest_predictions.json").read_text(encoding="utf-8"))
    spans = {name: next(each["text"] for each in nbest[name] if each["text"]) for name in golds}
    figures = evaluate_v2(golds, spans)
    return {"span_exact": figures["exact"], "span_f1": figures["f1"]}


def config_without_dropout(options) -> Path:
    """In one epoch nothing is seen twice: dropout would only slow learning down."""
    config = AutoConfig.from_pretrained(options.model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    folder = Path(options.work) / "config"
    config.save_pretrained(folder)
    return folder


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", data_dir="", version="v2.0", variants=["stock", "gi-0.3", "lora", "ina-0.1", "ina-0.3"],
        seeds=[1, 2], batch_size=8, bf16=1, work="runs/squad", workers=1, tune=0,
    )  # fmt: skip
    config = config_without_dropout(options)
    if options.tune:
        report(options, {"training_loss": tune(options, config), "rows": TUNING_ROWS, "seed": TUNING_SEED})
    else:
        report_table(options, partial(cell, options, config), VARIANTS, SCORES)


if __name__ == "__main__":
    main()

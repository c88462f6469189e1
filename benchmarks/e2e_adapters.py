"""Data-to-text with a small GPT-2: LoRA and the four MTLoRA structures against training everything, on E2E.

    python benchmarks/e2e_adapters.py --data-dir E2E --work runs/e2e --workers 2 --out benchmarks/results/e2e_adapters.json

E2E holds train.csv, dev.csv and test.csv as published. A byte-level tokenizer and a GPT-2 with fresh weights are trained
on the texts of the training set, as a language model that has never seen a meaning representation. From there each
variant is trained on the pairs, once for each seed, decodes the distinct inputs of the test set as published (10 beams,
length penalty 0.9, no 4-gram twice), and is scored with all figures of the challenge. Every run is a process of its own
with one thread in float32; finished cells are kept in `--work`. Nothing is tuned on the data that is scored: the learning
rates are those of short runs of a model twice as wide, by perplexity on dev.csv. The first variant is the one others are
compared to.
"""

import csv
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

from cells import check_known, kept, peak_memory, report_table
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast, set_seed

from ginets.data.segments import Segment
from ginets.recipes.arguments import ModelArguments, RecipeTrainingArguments
from ginets.recipes.causal_data import CausalDataArguments, CausalTask
from ginets.recipes.causal_lm import run
from paired import arguments


END = "<|endoftext|>"
RANK = ["--r", "4", "--lora_alpha", "32", "--target_modules", "c_attn", "mlp.c_fc"]
# what each variant adds to the command, and its learning rate
VARIANTS = {
    "full": ([], 5e-4),
    "lora": (["--adapter", "lora", *RANK], 2e-3),
    **{
        f"mtlora-{structure.lower()}": (["--adapter", "mtlora", *RANK, "--structure", structure], 2e-3)
        for structure in ("SHIM", "ICFM", "CTCM", "DTSM")
    },
}
SCORES = ("BLEU", "NIST", "METEOR", "ROUGE_L", "CIDEr", "perplexity")


def texts(path: Path) -> list[str]:
    with open(path, newline="", encoding="utf-8") as file:
        return [row["ref"] for row in csv.DictReader(file)]


def make_start(options) -> Path:
    """The tokenizer and the language model of the texts."""
    folder, fresh = Path(options.work) / "start", Path(options.work) / "fresh"
    if (folder / "all_results.json").exists():
        return folder
    train = texts(Path(options.data_dir) / "train.csv")
    core = ByteLevelBPETokenizer()
    core.train_from_iterator(train, vocab_size=options.vocabulary, special_tokens=[END], show_progress=False)
    fresh.mkdir(parents=True, exist_ok=True)
    core.save_model(str(fresh))
    tokenizer = GPT2TokenizerFast(str(fresh / "vocab.json"), str(fresh / "merges.txt"), model_max_length=256)
    tokenizer.save_pretrained(fresh)
    set_seed(options.seed)
    sizes = {"n_embd": options.hidden, "n_layer": options.layers, "n_head": options.hidden // 64, "n_positions": 256}
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **ends)).save_pretrained(fresh)

    def load(data_args, splits, tokenizer, **_):
        files = {"train": "train.csv", "validation": "dev.csv"}
        return {s: [(Segment(each, trained=True, end=True),) for each in texts(Path(options.data_dir) / files[s])]
                for s in splits}  # fmt: skip

    training_args = RecipeTrainingArguments(
        output_dir=str(folder), do_train=True, do_eval=True, save_strategy="no", eval_strategy="no", use_cpu=True,
        per_device_train_batch_size=32, learning_rate=1e-3, warmup_steps=0.05, num_train_epochs=1,
        seed=options.seed, disable_tqdm=True,
    )  # fmt: skip
    task = CausalTask("texts", CausalDataArguments, load)
    run(task, ModelArguments(model_name_or_path=str(fresh)), CausalDataArguments(), training_args)
    return folder


def cell(options, start: Path, seed: int, variant: str) -> dict[str, float]:
    """The figures of one cell, read from its folder if it has been done before."""
    folder = Path(options.work) / f"{variant}-{seed}"
    return kept(folder, lambda: train_and_score(options, start, folder, seed, *VARIANTS[variant]))


def train_and_score(options, start: Path, folder: Path, seed: int, added: list[str], rate: float) -> dict[str, float]:
    """Train, decode, score."""
    data = Path(options.data_dir)
    ginets = [sys.executable, "-m", "ginets.cli"]
    memory = peak_memory([
        *ginets, "train", "nlg", "--task_name", "e2e", "--model_name_or_path", str(start), "--output_dir", str(folder),
        "--train_file", str(data / "train.csv"), "--validation_file", str(data / "dev.csv"), "--do_train", "--do_eval",
        "--eval_strategy", "no", "--save_strategy", "no", "--learning_rate", str(rate), "--warmup_steps", "0.05",
        "--num_train_epochs", "1", "--per_device_train_batch_size", "16", "--label_smoothing_factor", "0.1",
        "--weight_decay", "0.01", "--use_cpu", "--disable_tqdm", "true", "--seed", str(seed), *added,
    ])  # fmt: skip
    test, output = str(data / "test.csv"), str(folder / "test.jsonl")
    peak_memory([*ginets, "generate", str(folder), "--task", "nlg", "--task-name", "e2e", "--data", test, "--output", output])  # fmt: skip
    scored = subprocess.run(
        [*ginets, "eval", "nlg", "--task", "e2e", test, output, "--json"], capture_output=True, text=True, check=True
    )
    results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    figures = json.loads(scored.stdout) | {"perplexity": results["eval_perplexity"], "peak_memory_mib": memory}
    return figures | {name: value for name, value in results.items() if "trainable_parameters" in name}


def main():
    options = arguments(
        __doc__.splitlines()[0],
        data_dir="", work="runs/e2e", variants=list(VARIANTS), seeds=[1, 2], workers=1, hidden=128, layers=4,
        vocabulary=2048,
    )  # fmt: skip
    check_known("variants", options.variants, VARIANTS)
    start = make_start(options)
    figures = json.loads((start / "all_results.json").read_text(encoding="utf-8"))
    report_table(options, partial(cell, options, start), VARIANTS, SCORES, start=figures)


if __name__ == "__main__":
    main()

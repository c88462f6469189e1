"""Word problems: a small Llama from scratch learns those of one step, adapters teach it those of two, GSM8K runs.

    python benchmarks/arithmetic.py --work runs/arithmetic --gsm8k GSM8K --out benchmarks/results/arithmetic.json

The problems are generated: no calculation of the test set occurs in training. For each seed a Llama with fresh weights is
trained on problems of one step; `before` is that base. From there each variant is trained on problems of two steps, and
all answer both test sets. `one_step_new` leaves out sums and products whose numbers were trained on in the other order.
GSM8K (a folder with train.jsonl and test.jsonl) is done once, by a Llama of the same shape with fresh weights, which
learns next to nothing there; `--gsm8k-rows` and `--gsm8k-test` say how many problems.

Each training is `ginets train math`, each test `ginets generate` and `ginets eval math`, in processes of their own with
one thread; what is finished is kept in `--work`. The base's settings come from short runs on problems of another `--seed`;
the learning rates of the variants were not searched. The first variant is the one others are compared to.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from cells import check_known, kept, peak_memory, report_table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from ginets.data.arithmetic import read_problems, segments
from paired import arguments


END = "<end>"
POSITIONS = 512
PLACES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK = ["--r", "8", "--target_modules", *PLACES]
# what each variant adds to the command, and its learning rate
VARIANTS = {
    "full": ([], 2e-3),
    "lora": (["--adapter", "lora", *RANK, "--lora_alpha", "16"], 5e-3),
    "ina-0.3": (["--adapter", "ina", *RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", "0.3"], 5e-3),
    "aflora": (["--adapter", "aflora", *RANK], 1e-2),
    "before": ([], 0.0),
}
# a rate of 5e-3 and a weight decay of 1: with less decay it learns the problems by heart
BASE = ["--learning_rate", "5e-3", "--weight_decay", "1", "--adam_beta2", "0.98"]
SCORES = ("two_step", "one_step", "one_step_new")
GINETS = [sys.executable, "-m", "ginets.cli"]


def write_problems(options) -> dict[int, Path]:
    """Steps → folder of the generated splits."""
    folders = {steps: Path(options.work) / f"problems-{steps}" for steps in (1, 2)}
    for steps, folder in folders.items():
        if not (folder / "test.jsonl").exists():
            sizes = ["--train", options.rows if steps == 1 else options.adapter_rows, "--test", options.test]
            words = [folder, *sizes, "--steps", steps, "--largest", options.largest, "--seed", options.seed]
            subprocess.run([sys.executable, "-m", "ginets.data.arithmetic_generated", *map(str, words)], check=True)
    return folders


def texts(*files: Path) -> list[str]:
    """Prompts with their solutions."""
    return ["".join(each.text for each in segments(problem)) for file in files for problem in read_problems(file)]


def make_fresh(options, folder: Path, seed: int, files: list[Path]) -> Path:
    """A tokenizer of the files' texts, and a Llama with fresh weights.

    Tokens are single digits, and between digits whatever is frequent, across words: the template is one or two tokens,
    and a problem has some 20 instead of 65.
    """
    core = Tokenizer(models.BPE())
    split = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False, use_regex=False)]
    core.pre_tokenizer, core.decoder = pre_tokenizers.Sequence(split), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts(*files), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token=END, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    set_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=options.hidden, intermediate_size=4 * options.hidden,
        num_hidden_layers=options.layers, num_attention_heads=options.hidden // 16, max_position_embeddings=POSITIONS,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, tie_word_embeddings=True, initializer_range=0.1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def train(model: Path, folder: Path, data: list, seed: int, *more) -> dict:
    """Figures of one training; `data`: its arguments."""
    words = [
        *("--model_name_or_path", model, "--output_dir", folder, *data, "--do_train", "--do_eval", "--seed", seed),
        *("--eval_strategy", "no", "--save_strategy", "no", "--warmup_steps", "0.05"),
        # batches of like length would each be of one or two kinds of problems
        *("--train_sampling_strategy", "random", "--per_device_train_batch_size", 64),
        *("--use_cpu", "--disable_tqdm", "true", "--report_to", "none", *more),
    ]
    memory = peak_memory([*GINETS, "train", "math", *map(str, words)])
    results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
    figures = {name: value for name, value in results.items() if "trainable_parameters" in name}
    figures |= {"perplexity": results["eval_perplexity"], "train_seconds": round(results["train_runtime"])}
    return figures | {"train_loss": results["train_loss"], "peak_memory_mib": memory}


def answer(model: Path, test: Path, output: Path, new_tokens: int, *more) -> dict:
    """Write an answer to each problem, greedily, and score them; `<output>.details.jsonl` tells which are right."""
    words = [model, "--task", "math", "--data", test, "--output", output, "--overwrite"]
    words += ["--num-beams", 1, "--max-new-tokens", new_tokens]
    peak_memory([*GINETS, "generate", *map(str, words)])
    words = [test, output, "--details", output.with_suffix(".details.jsonl"), "--json", *more]
    scored = [*GINETS, "eval", "math", *map(str, words)]
    return json.loads(subprocess.run(scored, stdout=subprocess.PIPE, text=True, check=True).stdout)


def calculation(row: dict) -> tuple[str, str, str]:
    """The first line of a solution: number, sign, number."""
    return tuple(row["answer"].split(" = ")[0].split())


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def count_calculations(problems: dict[int, Path]) -> dict[str, dict[str, int]]:
    """Different ones by split: many problems have the same in other words, so a test set is smaller than it looks."""
    return {
        f"{steps} steps": {
            split: len({row["answer"] for row in read(folder / f"{split}.jsonl")}) for split in ("train", "test")
        }
        for steps, folder in problems.items()
    }


def accuracy_of_new(problems: Path, details: Path) -> float:
    """Of the one-step problems whose numbers were not trained on in the other order either."""
    trained = {calculation(row) for row in read(problems / "train.jsonl")}
    hits = []
    for row, scored in zip(read(problems / "test.jsonl"), read(details), strict=True):
        a, sign, b = calculation(row)
        if not (sign in "+*" and (b, sign, a) in trained):
            hits.append(scored["correct"])
    return 100 * sum(hits) / len(hits)


def score(model: Path, problems: dict[int, Path], folder: Path) -> dict[str, float]:
    """Accuracies with their intervals on both test sets."""
    figures = {}
    for steps, name in ((1, "one_step"), (2, "two_step")):
        found = answer(model, problems[steps] / "test.jsonl", folder / f"{name}.jsonl", 32)
        figures |= {name: found["accuracy"]}
        figures |= {f"{name}_{end}": round(found[f"accuracy_{end}"], 1) for end in ("low", "high")}
    return figures | {"one_step_new": accuracy_of_new(problems[1], folder / "one_step.details.jsonl")}


def files_of(problems: Path) -> list:
    return ["--train_file", problems / "train.jsonl", "--validation_file", problems / "validation.jsonl"]


def make_base(options, problems: dict[int, Path], seed: int) -> Path:
    """The model that knows problems of one step."""
    folder, fresh = Path(options.work) / f"base-{seed}", Path(options.work) / f"fresh-{seed}"

    def make() -> dict:
        make_fresh(options, fresh, seed, [each / "train.jsonl" for each in problems.values()])
        figures = train(fresh, folder, files_of(problems[1]), seed, *BASE, "--num_train_epochs", options.epochs)
        return figures | score(folder, problems, folder)

    kept(folder, make)
    return folder


def cell(options, problems: dict[int, Path], seed: int, variant: str) -> dict[str, float]:
    """From the base to problems of two steps; the figures of one cell."""
    base = Path(options.work) / f"base-{seed}"
    if variant == "before":
        return json.loads((base / "figures.json").read_text(encoding="utf-8"))
    added, rate = VARIANTS[variant]
    folder = Path(options.work) / f"{variant}-{seed}"
    more = [*added, "--learning_rate", rate, "--num_train_epochs", options.adapter_epochs]
    return kept(
        folder,
        lambda: train(base, folder, files_of(problems[2]), seed, *more) | score(folder, problems, folder),
    )


def gsm8k(options) -> dict:
    """Training, answers and figures on the first problems of the real set, with a look for shared questions."""
    folder, fresh = Path(options.work) / "gsm8k", Path(options.work) / "fresh-gsm8k"

    def make() -> dict:
        files = {}
        fresh.mkdir(parents=True, exist_ok=True)
        for split, count in (("train", options.gsm8k_rows), ("test", options.gsm8k_test)):
            files[split] = fresh / f"{split}.jsonl"
            with open(Path(options.gsm8k) / f"{split}.jsonl", encoding="utf-8") as file:
                files[split].write_text("".join(islice(file, count)), encoding="utf-8")
        make_fresh(options, fresh, options.seed, [files["train"]])
        data = ["--train_file", files["train"], "--validation_rows", 100, "--max_seq_length", POSITIONS]
        figures = train(fresh, folder, data, options.seed, *BASE, "--num_train_epochs", options.gsm8k_epochs)
        return figures | answer(folder, files["test"], folder / "test.jsonl", 200, "--train", files["train"])

    return kept(folder, make)


def main():
    options = arguments(
        __doc__.splitlines()[0],
        work="runs/arithmetic", variants=list(VARIANTS), seeds=[1, 2, 3], workers=1, hidden=64, layers=2,
        vocabulary=1024, largest=20, rows=20000, epochs=8, test=500, adapter_rows=10000, adapter_epochs=4,
        gsm8k="", gsm8k_rows=2000, gsm8k_epochs=2, gsm8k_test=200,
    )  # fmt: skip
    check_known("variants", options.variants, VARIANTS)
    problems = write_problems(options)
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(partial(make_base, options, problems), options.seeds))
    more = {"calculations": count_calculations(problems)}
    more |= {"gsm8k": gsm8k(options)} if options.gsm8k else {}
    report_table(options, partial(cell, options, problems), VARIANTS, SCORES, **more)


if __name__ == "__main__":
    main()

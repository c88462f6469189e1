"""A small pretrained Llama learns another style: full fine-tuning, LoRA, InA and LlamaInA on a generated corpus.

    python -m tests.stories STORIES LLAMA        # the files of stories260K as a folder that transformers loads
    python benchmarks/llama_style.py --model LLAMA --work runs/style --out benchmarks/results/llama_style.json

The corpus, entries of a ship's log, is generated; training and validation share no entry. Perplexity is that of a token
of the validation entries, the end token included; `before` is the model as it comes. All low-rank variants have rank 8 on
the queries and values of all layers, α = 16, and one learning rate, which was not searched. The first variant is the one
others are compared to.
"""

import random
from functools import partial
from pathlib import Path

from cells import kept, report_table

from ginets.data.segments import Segment
from ginets.recipes.adapted import AdapterArguments
from ginets.recipes.arguments import GateArguments, ModelArguments, RecipeTrainingArguments
from ginets.recipes.causal_data import CausalDataArguments, CausalTask
from ginets.recipes.causal_lm import run
from paired import arguments


SIZES = {"train": 2000, "validation": 200}
WINDS = ("north", "south", "east", "west")
SIGHTS = ("a whale", "two gulls", "a red sail", "an island", "no land", "a big wave", "many fish", "dark clouds")
CREW = ("The cook", "The captain", "The boy", "The cat", "Old Tom")
DEEDS = ("mended the net", "slept all day", "sang a song", "washed the deck", "lost a shoe", "made soup", "was afraid")
STORES = ("bread", "water", "apples", "rope", "candles")

PLACES = ["q_proj", "v_proj"]
LORA_RATE, FULL_RATE = 3e-3, 1e-3
SHARED = {"r": 8, "target_modules": PLACES}


def branches(level: float) -> dict:
    return {"ina_rank": 8, "ina_alpha": 16, "ina_target_modules": PLACES, "inhibition_level": level}


# adapter, its fields, flags of the model; learning rate
VARIANTS = {
    "lora": (("lora", SHARED | {"lora_alpha": 16}, {}), LORA_RATE),
    **{
        f"ina-{level}": (("ina", SHARED | {"ina_alpha": 16, "inhibition_level": level}, {}), LORA_RATE)
        for level in (0.1, 0.3, 0.9)
    },
    **{f"llama-ina-{level}": (("none", {}, branches(level)), LORA_RATE) for level in (0.1, 0.3, 0.9)},
    "full": (("none", {}, {}), FULL_RATE),
    "before": (("none", {}, {}), 0.0),
}
SCORES = ("perplexity",)


def corpus(seed: int = 0) -> dict[str, list[str]]:
    """Split → entries, each once."""
    rng, entries = random.Random(seed), {}
    while len(entries) < sum(SIZES.values()):
        lines = [
            f"Day {rng.randint(1, 99)}. Wind from the {rng.choice(WINDS)}.",
            f"Saw {rng.choice(SIGHTS)}, then {rng.choice(SIGHTS)}.",
            f"{rng.choice(CREW)} {rng.choice(DEEDS)}.",
            f"Left: {rng.randint(2, 40)} {rng.choice(STORES)}, {rng.randint(2, 40)} {rng.choice(STORES)}.",
        ]
        entries[" ".join(lines)] = None
    texts = list(entries)
    return {"train": texts[: SIZES["train"]], "validation": texts[SIZES["train"] :]}


def load(data_args, splits, tokenizer, **_):
    texts = corpus()
    return {split: [(Segment(text, trained=True, end=True),) for text in texts[split]] for split in splits}


def cell(options, seed: int, variant: str) -> dict[str, float]:
    """The figures of one training, read from its folder if it has been done before."""
    folder = Path(options.work) / f"{variant}-{seed}"
    return kept(folder, lambda: train(options, folder, seed, *VARIANTS[variant]))


def train(options, folder: Path, seed: int, change: tuple, rate: float) -> dict[str, float]:
    adapter, fields, flags = change
    training_args = RecipeTrainingArguments(
        output_dir=str(folder), do_train=rate > 0, do_eval=True, eval_strategy="no", save_strategy="no", use_cpu=True,
        per_device_train_batch_size=16, learning_rate=rate, num_train_epochs=3, warmup_steps=0.05, seed=seed,
        disable_tqdm=True, report_to="none",
    )  # fmt: skip
    adapter_args = AdapterArguments(adapter=adapter)
    adapter_args.fields = dict(fields)
    task = CausalTask("log", CausalDataArguments, load)
    results = run(
        task, ModelArguments(model_name_or_path=options.model), CausalDataArguments(max_seq_length=256),
        training_args, GateArguments(**flags), "", adapter_args,
    )  # fmt: skip
    figures = {"perplexity": results["eval_perplexity"]}
    return figures | {name: value for name, value in results.items() if "trainable_parameters" in name}


def main():
    options = arguments(
        __doc__.splitlines()[0], model="", work="runs/style", variants=list(VARIANTS), seeds=[1, 2, 3], workers=1
    )
    report_table(options, partial(cell, options), VARIANTS, SCORES)


if __name__ == "__main__":
    main()

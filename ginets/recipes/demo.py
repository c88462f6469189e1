"""The embedded example: a stock and a gated model on the generated distractor task, offline, in under three minutes.

Both start from the same weights and see the same rows in the same order; `docs/glue.md` describes the data.
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..data.distractors import COLOURS, word_list, write
from ..viz.curves import plot_learning_curve
from .arguments import ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments, option, parse
from .classification import run
from .demo_model import make_tiny_model, pretrained_folder
from .glue_data import DataArguments
from .heads import load_config
from .outputs import command_line


logger = logging.getLogger(__name__)

THINGS_PER_TEXT = 3
DEFAULT_GATES = {"gi_query_side": True, "gi_key_side": True, "inhibition_level": 0.3}


@dataclass(frozen=True)
class Budget:
    """How long and how fast to train; chosen so that both models learn within the time."""

    train_rows: int
    epochs: int
    batch_size: int
    learning_rate: float


PRETRAINED = Budget(train_rows=480, epochs=3, batch_size=16, learning_rate=2e-4)
FROM_SCRATCH = Budget(train_rows=3000, epochs=10, batch_size=32, learning_rate=1e-3)
TEST_ROWS = 180


@dataclass
class DemoArguments:
    """Arguments of the embedded example. Gate flags are accepted, too, on top of its own."""

    output_dir: str = option("Where everything is written.", "runs/demo")
    seed: int = option("Of the data and of the training.", 0)
    from_scratch: bool = option("Use the tiny untrained model even if a pretrained one is installed.", False)
    train_rows: int | None = option("Rows to train on.")
    epochs: int | None = option("Epochs to train.")

    def __post_init__(self):
        for name, value, least in (("train_rows", self.train_rows, len(COLOURS)), ("epochs", self.epochs, 1)):
            if value is not None and value < least:
                raise ArgumentsError(f"--{name} is {value}; it must be at least {least}.")


def main(argv: Sequence[str]) -> dict[str, float]:
    """Train both models, print a table, write data, models, `all_results.json` and `learning_curve.png`.

    `argv` is what stands on the command line beside `--demo`.

    Returns:
        `<model>_<figure>` → value, for the models `stock` and `gated`.
    """
    args, gate_args = parse([DemoArguments, GateArguments], list(argv), prog="run_glue --demo")
    threads = torch.get_num_threads()
    # With batches this small, threads that wait for each other cost more than they give wherever a core is busy.
    torch.set_num_threads(1)
    try:
        return compare(args, gate_args, command_line("ginets glue --demo", argv))
    finally:
        torch.set_num_threads(threads)


def compare(args: DemoArguments, gate_args: GateArguments, command: str = "") -> dict[str, float]:
    """Data, both models, table and picture."""
    started = time.perf_counter()
    folder = Path(args.output_dir)
    pretrained = None if args.from_scratch else pretrained_folder()
    budget = PRETRAINED if pretrained else FROM_SCRATCH
    rows = args.train_rows or budget.train_rows
    model = pretrained or make_tiny_model(folder / "start", word_list(), args.seed)
    gated = GateArguments(**DEFAULT_GATES | gate_args.given)
    load_config(ModelArguments(model_name_or_path=str(model)), gated)  # a bad flag is found before anything is trained
    sizes = {"train": rows, "validation": TEST_ROWS, "heldout": TEST_ROWS}
    files = write(folder / "data", sizes, args.seed, THINGS_PER_TEXT)
    logger.info(
        "Model: %s. Data: %d rows in %s.", "MiniLM" if pretrained else "tiny, untrained", rows, folder / "data"
    )

    figures, histories = {}, {}
    for name, gates in (("stock", GateArguments()), ("gated", gated)):
        training_args = training_arguments(folder / name, budget, args)
        data_args = DataArguments(
            train_file=files["train"], validation_file=files["validation"], test_file=files["heldout"],
            max_seq_length=64,
        )  # fmt: skip
        result = run(ModelArguments(model_name_or_path=str(model)), data_args, training_args, gates, command)
        figures |= {
            f"{name}_validation_accuracy": result["eval_accuracy"],
            f"{name}_heldout_accuracy": result["predict_accuracy"],
            f"{name}_train_seconds": result["train_runtime"],
        }
        state = json.loads((folder / name / "trainer_state.json").read_text(encoding="utf-8"))
        histories[name] = state["log_history"]
    plot_learning_curve(histories, "accuracy", folder / "learning_curve.png")
    (folder / "all_results.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures, time.perf_counter() - started, folder))
    return figures


def training_arguments(folder: Path, budget: Budget, args: DemoArguments) -> RecipeTrainingArguments:
    """Evaluate each epoch, keep no checkpoints: the run is too short to need them."""
    return RecipeTrainingArguments(
        output_dir=str(folder), do_train=True, do_eval=True, do_predict=True, save_strategy="no",
        num_train_epochs=args.epochs or budget.epochs, learning_rate=budget.learning_rate, warmup_steps=0.1,
        lr_scheduler_type="constant_with_warmup",
        per_device_train_batch_size=budget.batch_size, per_device_eval_batch_size=60, seed=args.seed,
        use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip


def table(figures: dict[str, float], seconds: float, folder: Path) -> str:
    """The result in plain text, with the rates that need no understanding beside it."""
    lines = ["", f"{'model':8}{'in distribution':>18}{'held-out pairs':>18}{'training':>12}"]
    for name in ("stock", "gated"):
        seen, heldout, train = (
            figures[f"{name}_{figure}"] for figure in ("validation_accuracy", "heldout_accuracy", "train_seconds")
        )
        lines.append(f"{name:8}{seen:>18.1%}{heldout:>18.1%}{train:>10.0f} s")
    lines += [
        f"Guessing: {1 / len(COLOURS):.1%}; naming any colour of the text: {1 / THINGS_PER_TEXT:.1%}.",
        f"One seed and {TEST_ROWS} rows per split: differences of a few points mean nothing.",
        f"{seconds:.0f} s in all; data, models, predictions and learning_curve.png are in {folder}.",
    ]
    return "\n".join(lines)

"""What a classification run leaves behind: predictions, pictures, model card."""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.glue import HUB_DATASET, Examples
from ..hub.card import CardFacts, make_card
from ..models.flags import is_flag
from ..viz.curves import plot_learning_curve
from ..viz.freeze_map import plot_freeze_map, read_freeze_log
from .adapted import is_adapted
from .arguments import ModelArguments, RecipeTrainingArguments
from .glue_data import DataArguments
from .methods import PEFT, default_of, load
from .recipe_files import OVERRIDE


SUBMISSION_SUFFIX = {"": "", "matched": "-m", "mismatched": "-mm"}
CURVE = "learning_curve.png"
FREEZE_LOG, FREEZE_MAP = "freeze_log.csv", "freeze_map.png"  # the log is what AFLoRA's callback writes
CARD_ARGUMENTS = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
                  "gradient_accumulation_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "seed")  # fmt: skip


def write_predictions(path: Path, rows, values: np.ndarray, names: Sequence[str]) -> None:
    """Write `index`, `prediction` and, where known, `label` of a split, in the order of its source.

    Args:
        rows: the dataset that was predicted, with `idx` and perhaps `label`, in the order of `values`.
        values: class ids or scores, shape `(n,)`.
        names: spelling of the classes; empty for scores.
    """
    columns = [rows["idx"], values] + ([rows["label"]] if "label" in rows.column_names else [])
    lines = ["index\tprediction" + "\tlabel" * (len(columns) == 3)]
    for idx, *cells in sorted(zip(*columns, strict=True), key=lambda row: row[0]):
        spelt = [names[int(cell)] if names else f"{cell:.3f}" for cell in cells]
        lines.append("\t".join([str(idx), *spelt]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_submission(folder: Path, split: str, examples: Examples, rows, values: np.ndarray) -> Path:
    """Write the predictions of an unlabelled split as the GLUE server takes them, e.g. `MRPC.tsv`, `MNLI-mm.tsv`."""
    task = examples.task
    name = f"{task.folder}{SUBMISSION_SUFFIX[split.partition('_')[2]]}.tsv"
    if task.labels:
        # Submissions spell classes as the official files do; the model may number them differently.
        names = [task.spelling[task.labels.index(label)] for label in examples.labels]
    else:
        names, values = (), np.clip(values, 0, 5)
    write_predictions(folder / name, rows.select_columns(["idx"]), values, names)
    return folder / name


def write_curve(folder: Path, history: list[dict], metric: str) -> None:
    plot_learning_curve({"run": history}, metric, folder / CURVE)


def write_freeze_map(folder: Path) -> None:
    """Draw AFLoRA's log; no picture of a run in which nothing was frozen."""
    (folder / FREEZE_MAP).unlink(missing_ok=True)
    if frozen := read_freeze_log(folder / FREEZE_LOG):
        plot_freeze_map(frozen, folder / FREEZE_MAP)


def write_card(
    folder: Path,
    model,
    examples: Examples,
    metrics: dict[str, float],
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
    command: str,
) -> None:
    """Write `README.md`: the model, its gate flags, its adapter, the figures and how to repeat them."""
    config = model.config
    names = [f"{name}{suffix}" for suffix in ("", "_mm") for name in (*examples.metrics, "combined_score", "loss")]
    task = examples.task
    files = ", ".join(Path(path).name for path in data_args.files.values())
    dataset = data_args.dataset_name and shorten(data_args.dataset_name)
    on_hub = data_args.dataset_name if dataset == data_args.dataset_name else None
    facts = CardFacts(
        name=folder.resolve().name,
        base_model=model_args.model_name_or_path,
        task_type="text-classification",
        dataset=f"GLUE {task.name}" if task else dataset or files,
        dataset_id=on_hub if dataset else HUB_DATASET if task and not data_args.files else None,
        split="validation",
        metrics={name: float(metrics[f"eval_{name}"]) for name in names if f"eval_{name}" in metrics},
        seed=training_args.seed,
        flags={name: value for name, value in config.to_dict().items() if is_flag(name)},
        adapter=metrics["adapter"] if is_adapted(model) else None,
        adapter_config=adapter_facts(model) if is_adapted(model) else {},
        trainable={name: metrics[name] for name in ("trainable_parameters", "trainable_parameters_without_head")},
        hyperparameters={name: training_args.to_dict()[name] for name in CARD_ARGUMENTS}
        | {"max_seq_length": data_args.max_seq_length},
        command=command,
        curve=CURVE,
        freeze_map=FREEZE_MAP if (folder / FREEZE_MAP).exists() else None,
    )
    make_card(facts).save(folder / "README.md")


def adapter_facts(model) -> dict[str, object]:
    """The fields of the adapter's config that differ from its defaults, and its rank and targets in any case."""
    config = model.peft_config[model.active_adapter]
    base = {f.name for f in dataclasses.fields(load(PEFT, "PeftConfig"))}
    facts = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if f.name not in base and (f.name in ("r", "target_modules") or value != default_of(f)):
            facts[f.name] = ", ".join(sorted(map(str, value))) if isinstance(value, set | list) else value
    return facts


def command_line(program: str, argv: Sequence[str]) -> str:
    """The command for the card, which may be published: without access tokens, and of local paths only the names."""
    words, secret = [program], False
    for word in argv:
        assigned = word.startswith("--") or OVERRIDE.fullmatch(word)
        name, equals, value = word.partition("=") if assigned else ("", "", word)
        takes_secret = name.endswith("token")
        if not (secret or takes_secret):
            words.append(shlex.quote(name + equals + shorten(value)))
        secret = takes_secret and not equals  # the value is the next word
    return " ".join(words)


def shorten(word: str) -> str:
    """The name of a local path; anything else as it is."""
    local = os.path.isabs(word) or os.path.exists(word)
    return Path(word).name or word if local else word

"""What a training run leaves behind: pictures and the model card."""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import transformers

from ..hub.card import AUTO, CardFacts, make_card
from ..hub.load import key_mapping
from ..models.flags import is_flag
from ..viz.curves import plot_learning_curve
from ..viz.freeze_map import plot_freeze_map, read_freeze_log
from .adapted import is_adapted
from .arguments import ModelArguments, RecipeTrainingArguments
from .methods import PEFT, default_of, load
from .recipe_files import OVERRIDE


CURVE = "learning_curve.png"
FREEZE_LOG, FREEZE_MAP = "freeze_log.csv", "freeze_map.png"  # the log is what AFLoRA's callback writes
CARD_ARGUMENTS = ("learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size",
                  "gradient_accumulation_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "seed")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Task:
    """What a run was about, for its card.

    Attributes:
        kind: the Hub's name of the kind of task.
        dataset: what it was trained and evaluated on.
        dataset_id: that dataset's name on the Hub, if it has one.
        figures: names of those of the evaluation that the card gives.
        arguments: of the data, that decide the result.
    """

    kind: str
    dataset: str
    dataset_id: str | None
    figures: Sequence[str]
    arguments: dict[str, object]


def about_data(
    kind: str, data_args, known: str, known_id: str | None, figures: Sequence[str], *arguments: str
) -> Task:
    """The task of a run with files of the user, a dataset of the Hub, or else the `known` one.

    Args:
        data_args: with `files`, perhaps `dataset_name`, and the named `arguments`.
    """
    paths = [path for given in data_args.files.values() for path in ([given] if isinstance(given, str) else given)]
    files = ", ".join(dict.fromkeys(Path(path).name for path in paths))
    given = getattr(data_args, "dataset_name", None)  # not every task reads the Hub
    name = given and shorten(given)
    on_hub = name if name == given else None
    return Task(
        kind,
        known or name or files,
        on_hub if name else None if files else known_id,
        figures,
        {argument: getattr(data_args, argument) for argument in arguments},
    )


def write_pictures(folder: Path, history: list[dict], metric: str, adapter: str) -> None:
    """Draw the learning curve, and AFLoRA's map of freezing steps if anything was frozen."""
    plot_learning_curve({"run": history}, metric, folder / CURVE)
    (folder / FREEZE_MAP).unlink(missing_ok=True)
    if adapter == "aflora" and (frozen := read_freeze_log(folder / FREEZE_LOG)):
        plot_freeze_map(frozen, folder / FREEZE_MAP)


def write_card(
    folder: Path,
    model,
    task: Task,
    metrics: dict[str, float],
    model_args: ModelArguments,
    training_args: RecipeTrainingArguments,
    command: str,
) -> None:
    """Write `README.md`: the model, its gate flags, its adapter, the figures and how to repeat them."""
    facts = CardFacts(
        name=folder.resolve().name,
        base_model=model_args.model_name_or_path,
        task_type=task.kind,
        dataset=task.dataset,
        dataset_id=task.dataset_id,
        split="validation",
        metrics={name: float(metrics[f"eval_{name}"]) for name in task.figures if f"eval_{name}" in metrics},
        seed=training_args.seed,
        flags={name: value for name, value in model.config.to_dict().items() if is_flag(name)},
        adapter=metrics["adapter"] if is_adapted(model) else None,
        adapter_config=adapter_facts(model) if is_adapted(model) else {},
        key_mapping=key_mapping(getattr(transformers, AUTO[task.kind]), model.config) if is_adapted(model) else None,
        trainable={name: metrics[name] for name in ("trainable_parameters", "trainable_parameters_without_head")},
        hyperparameters={name: training_args.to_dict()[name] for name in CARD_ARGUMENTS} | task.arguments,
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

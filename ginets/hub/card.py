"""The model card of a trained model: what it is, how it was made, and its figures, also as Hub metadata."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData


LOAD = "Load it after `import ginets`, which registers the model family.\n"
LOAD_ADAPTER = """```python
import ginets  # registers the gated model families and the adapters of ginets
from peft import PeftModel
from transformers import AutoConfig, {auto}

config = AutoConfig.from_pretrained("{name}", subfolder="base")
base = {auto}.from_pretrained("{base}", config=config{mapping})
model = PeftModel.from_pretrained(base, "{name}")
```
"""
AUTO = {
    "text-classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "text-generation": "AutoModelForCausalLM",
}
BAR = "\\|"  # in a cell of a table
PACKAGES = ("ginets", "transformers", "torch", "datasets", "peft")


@dataclass
class CardFacts:
    """What goes into a card.

    Attributes:
        name: of the model, e.g. the name of its folder.
        base_model: what training started from.
        task_type: the Hub's name of the kind of task, one of `AUTO`.
        dataset: what it was trained and evaluated on.
        dataset_id: that dataset's name on the Hub, if it has one.
        split: what the figures were measured on.
        metrics: name → value, plain floats.
        flags: gate flags of the config.
        adapter: method of the adapter, if the model is one.
        adapter_config: fields of its config.
        key_mapping: with which its base is loaded, see `load.key_mapping`.
        trainable: numbers of trained parameters.
        hyperparameters: what else decides the result.
        command: the exact command line.
        seed: of the run.
        curve: file name of the learning curve beside the card.
        freeze_map: file name of AFLoRA's map of freezing steps beside the card.
    """

    name: str
    base_model: str
    task_type: str
    dataset: str
    split: str
    metrics: Mapping[str, float]
    seed: int
    dataset_id: str | None = None
    flags: Mapping[str, object] = field(default_factory=dict)
    adapter: str | None = None
    adapter_config: Mapping[str, object] = field(default_factory=dict)
    key_mapping: Mapping[str, str] | None = None
    trainable: Mapping[str, int] = field(default_factory=dict)
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    command: str = ""
    curve: str | None = None
    freeze_map: str | None = None


def make_card(facts: CardFacts) -> ModelCard:
    """A card with `model-index` metadata. One run, one seed: the card says so, and claims no more."""
    results = [
        EvalResult(
            task_type=facts.task_type,
            dataset_type=facts.dataset_id or "local",
            dataset_name=facts.dataset,
            dataset_split=facts.split,
            metric_type=metric,
            metric_value=round(value, 6),
        )
        for metric, value in facts.metrics.items()
    ]
    data = ModelCardData(
        model_name=facts.name,
        base_model=None if _is_local(facts) else facts.base_model,  # metadata takes names on the Hub only
        datasets=[facts.dataset_id] if facts.dataset_id else None,
        library_name="peft" if facts.adapter else "transformers",
        pipeline_tag=facts.task_type,
        tags=["ginets", *([facts.adapter] if facts.adapter else [])],
        eval_results=results or None,
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_body(facts)}")


def _body(facts: CardFacts) -> str:
    gates = _table("flag", facts.flags) if facts.flags else "None: this is the stock architecture.\n"
    base = Path(facts.base_model).name if _is_local(facts) else facts.base_model
    parts = [
        f"# {facts.name}\n\nFine-tuned from `{base}` on {facts.dataset}.\n",
        f"## Figures\n\nMeasured on the {facts.split} split; one run, seed {facts.seed}.\n\n{_table('metric', facts.metrics)}",
        f"![learning curve]({facts.curve})\n" if facts.curve else "",
        f"## Inhibition\n\n{gates}",
        _adapter(facts, base) if facts.adapter else LOAD if facts.flags else "",
        f"## Training\n\n{_table('argument', {**facts.hyperparameters, **facts.trainable})}",
        f"```\n{facts.command}\n```\n" if facts.command else "",
        f"## Versions\n\n{_table('package', versions())}",
    ]
    return "\n".join(part for part in parts if part)


def _adapter(facts: CardFacts, base: str) -> str:
    """What the adapter is, and how to load it: its folder keeps the config of its base model in `base/`."""
    table = _table("field", facts.adapter_config)
    frozen = f"![steps of freezing]({facts.freeze_map})\n\n" if facts.freeze_map else ""
    mapping = spell_mapping(facts.key_mapping)
    load = LOAD_ADAPTER.format(auto=AUTO[facts.task_type], base=base, name=facts.name, mapping=mapping)
    return f"## Adapter\n\nMethod: {facts.adapter}.\n\n{table}\n{frozen}{load}"


def spell_mapping(mapping: Mapping[str, str] | None) -> str:
    """The argument of `from_pretrained`, with the comma before it; nothing if there is none."""
    return f", key_mapping={dict(mapping)}" if mapping else ""


def _is_local(facts: CardFacts) -> bool:
    return Path(facts.base_model).exists()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        if package in sys.modules:
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # imported from a source folder
                found[package] = getattr(sys.modules[package], "__version__", "unknown")
    return found


def _table(head: str, rows: Mapping[str, object]) -> str:
    lines = [f"| {head} | |", "|---|---|"]
    for name, value in rows.items():
        text = f"{value:.4f}" if isinstance(value, float) and head == "metric" else str(value)
        lines.append(f"| {name} | {text.replace('|', BAR)} |")
    return "\n".join(lines) + "\n"

"""The card of a published model: that of its run, and what a stranger needs: how to load it, limits, licence, citation."""

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import cached_file
from yaml import YAMLError  # huggingface_hub needs it, too

from .card import LOAD, _table, spell_mapping
from .citation import citation


# head of the Auto class → the Hub's name of the task
TASKS = {
    "AutoModel": "feature-extraction",
    "AutoModelForCausalLM": "text-generation",
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForMultipleChoice": "multiple-choice",
    "AutoModelForNextSentencePrediction": "text-classification",
    "AutoModelForPreTraining": "fill-mask",
    "AutoModelForQuestionAnswering": "question-answering",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
}
LOAD_OF_RUN = re.compile(r"```python\nimport ginets.*?```\n", re.DOTALL)
TEMPLATE = "# Model Card for Model ID"  # the title in the form that PEFT leaves beside an adapter
PICTURE = re.compile(r"!\[[^]]*\]\(([\w.-]+\.png)\)")

STOCK = """```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```
"""
OWN = """Without ginets: the code of the model is in this repository. It runs on your machine, so read it first.

```python
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{name}", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)
```

With ginets (`pip install ginets`) no code of the repository runs:

```python
import ginets
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{name}")
tokenizer = AutoTokenizer.from_pretrained("{name}")
```
"""
ADAPTED = """```python
{first}from peft import PeftModel
from transformers import {auto}{config_import}

{config}base = {auto}.from_pretrained("{base}"{config_argument}{mapping})
model = PeftModel.from_pretrained(base, "{name}")
```
"""
NEEDS_GINETS = """This is an adapter of ginets; PEFT alone cannot load it and stops with `{error}`. Install and import ginets:

```
pip install "ginets[adapters]"
```

"""
PLAIN = "This is a plain LoRA adapter: PEFT and servers that know LoRA load it as it is.\n\n"
LIMITS = """It is meant for the task{task} and the kind of text it was trained on. Nothing else was measured: other
domains, other languages and longer texts may give much worse results. What it says can be wrong or biased, as can what
its base model{base} was trained on; do not let it decide alone about people.
"""
BATCH = """
`inhibition_scope` is `"batch"`: outputs depend on everything that is in the batch, padding too. Compare and serve it
with one text at a time.
"""


@dataclass
class Published:
    """What the card has to know of a published folder.

    Attributes:
        name: under which it is loaded: the repository, or the folder.
        auto: name of the Auto class of its head.
        own: it comes with code of ginets.
        base: the base model, if known; for an adapter what it is put on.
        adapter: type in `adapter_config.json`; None for a complete model.
        base_config: an adapter that keeps the config of its base.
        key_mapping: with which its base is loaded, see `load.key_mapping`.
        needs_ginets: an adapter that cannot be loaded without.
        form: how it was changed for publishing, in a sentence.
        license: of the base; None: look it up.
        flags: of the config, for a card that has to be written anew.
        methods: what to cite.
    """

    name: str
    auto: str
    own: bool = False
    base: str | None = None
    adapter: str | None = None
    base_config: bool = False
    key_mapping: Mapping[str, str] | None = None
    needs_ginets: bool = False
    form: str = ""
    license: str | None = None
    flags: dict[str, object] = field(default_factory=dict)
    methods: tuple[str, ...] = ()


def read_card(path: str | Path) -> ModelCard:
    """The card in a file. Raises `ValueError`, which names it, where its metadata are no metadata."""
    try:
        return ModelCard(Path(path).read_text(encoding="utf-8"))
    except (TypeError, ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{Path(path).name}: its metadata cannot be read ({reason}).") from error


def published_card(facts: Published, card: ModelCard | None) -> ModelCard:
    """`card`: the one that the run left, if it did; it stays as it is, unless it is PEFT's form that nobody filled in."""
    data = deepcopy(card.data) if card else ModelCardData(model_name=facts.name.rpartition("/")[2])
    written = card and TEMPLATE not in card.text
    body = LOAD_OF_RUN.sub("", card.text.replace(LOAD, "")).strip() if written else new_body(facts)
    tags = {tag for tag in data.tags or () if not tag.startswith("base_model:")}  # the Hub makes them from base_model
    base = facts.base or one_of(data.base_model)
    licence = facts.license or data.license or (base and license_of(base))
    changed = {
        "license": licence,
        "base_model": base if base and not Path(base).exists() else None,
        "library_name": "peft" if facts.adapter else "transformers",
        "pipeline_tag": data.pipeline_tag or TASKS.get(facts.auto),
        "tags": sorted({*tags, "ginets", *facts.methods}),
    }
    for name, value in changed.items():
        data[name] = value
    parts = [
        body,
        f"{facts.form}" if facts.form else "",
        f"## How to load\n\n{how_to_load(facts)}",
        f"## Intended use and limits\n\n{limits(facts, data.pipeline_tag, base)}",
        f"## Licence\n\n{about_licence(licence, base)}",
        f"## Citation\n\n```bibtex\n{citation(*facts.methods)}\n```",
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(part.strip() for part in parts if part) + "\n")


def new_body(facts: Published) -> str:
    base = (
        f"\n\nFine-tuned from `{Path(facts.base).name if Path(facts.base).exists() else facts.base}`."
        if facts.base
        else ""
    )
    flags = f"\n\n## Inhibition\n\n{_table('flag', facts.flags)}" if facts.flags else ""
    return f"# {facts.name.rpartition('/')[2]}{base}{flags}"


def how_to_load(facts: Published) -> str:
    if not facts.adapter:
        return (OWN if facts.own else STOCK).format(auto=facts.auto, name=facts.name)
    code = ADAPTED.format(
        first="import ginets  # registers its adapters and models\n" if facts.needs_ginets else "",
        auto=facts.auto,
        base=facts.base,
        name=facts.name,
        config_import=", AutoConfig" if facts.base_config else "",
        config=f'config = AutoConfig.from_pretrained("{facts.name}", subfolder="base")\n' if facts.base_config else "",
        config_argument=", config=config" if facts.base_config else "",
        mapping=spell_mapping(facts.key_mapping),
    )
    if not facts.needs_ginets:
        return PLAIN + code
    ours = facts.adapter.startswith("GINETS_")
    error = f"KeyError: '{facts.adapter}'" if ours else "does not recognize this architecture"
    return NEEDS_GINETS.format(error=error) + code


def limits(facts: Published, task: str | None, base: str | None) -> str:
    text = LIMITS.format(task=f" ({task})" if task else "", base=f" ({Path(base).name})" if base else "")
    return text + (BATCH if facts.flags.get("inhibition_scope") == "batch" else "")


def about_licence(licence: str | None, base: str | None) -> str:
    """A fine-tuned model stands under the licence of its base."""
    if licence is None:
        return (
            "The licence of the base model is not known here. It also covers this model: look it up before you use it."
        )
    of = f", that of its base model `{Path(base).name if Path(base).exists() else base}`" if base else ""
    return f"Weights: {licence}{of}. Code of ginets: MIT."


def license_of(base: str) -> str | None:
    """What the card of the base model says, in its folder, the cache or on the Hub."""
    try:
        found = cached_file(base, "README.md", _raise_exceptions_for_missing_entries=False)
        return found and one_of(read_card(found).data.license)
    except (OSError, ValueError):
        return None


def one_of(value: str | list[str] | None) -> str | None:
    return value[0] if isinstance(value, list) and value else value or None

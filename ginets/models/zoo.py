"""The zoo: `models/<name>/config.json`, installed as the data package `ginets.zoo`."""

from difflib import get_close_matches
from fnmatch import fnmatch
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from .flags import is_flag


@cache
def zoo_root() -> Path:
    """The folder that holds the zoo: the installed data package, or `models/` of a plain checkout."""
    spec = find_spec("ginets.zoo")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "models"


def list_models(pattern: str = "*") -> list[str]:
    """Names of the zoo's models that match the shell-style `pattern`, e.g. `"deberta*"`, sorted."""
    names = (path.parent.name for path in zoo_root().glob("*/config.json"))
    return sorted(name for name in names if fnmatch(name, pattern))


def model_path(name: str) -> str:
    """The folder of the model `name`, to be given to `from_pretrained` or `--config_name`.

    Raises:
        ValueError: no such model.
    """
    if name not in list_models():
        close = get_close_matches(name, list_models(), n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known models: {', '.join(list_models())}."
        raise ValueError(f"no model {name!r} in the zoo; {hint}")
    return str(zoo_root() / name)


def table() -> str:
    """The zoo as a Markdown table: architecture figures, parameters of the backbone and share of the mechanism."""
    rows = [
        "| model | type | layers | hidden | heads | vocabulary | parameters | of these added |",
        "|---|---|" + "--:|" * 6,
    ]
    for name in list_models():
        config = AutoConfig.from_pretrained(model_path(name))
        total, added = count_parameters(config)
        rows.append(
            f"| [{name}]({name}/README.md) | `{config.model_type}` | {config.num_hidden_layers} | {config.hidden_size:,} "
            f"| {config.num_attention_heads} | {config.vocab_size:,} | {total:,} | {added:,} |"
        )
    return "\n".join(rows) + "\n"


def count_parameters(config) -> tuple[int, int]:
    """Parameters of the backbone that `config` describes, and how many of them the mechanism adds."""
    stock_class = type(config).__bases__[-1]
    stock = stock_class.from_dict({name: value for name, value in config.to_dict().items() if not is_flag(name)})
    with torch.device("meta"):
        total, without = (AutoModel.from_config(each).num_parameters() for each in (config, stock))
    return total, total - without


def readme() -> str:
    """The text of `models/README.md`."""
    return f"""# The zoo

One folder per model: its `config.json` (architecture figures as published, the unique `model_type`, the flags written
out) and a card. Weights come from the base models. The parameters are those of the backbone without a head.

{table()}
Written by `make zoo`; a test keeps it true.
"""


def write_readme():
    (zoo_root() / "README.md").write_text(readme(), encoding="utf-8")

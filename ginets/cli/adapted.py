"""What the verbs that take a base and an adapter share: arguments, and loading the two."""

from pathlib import Path
from typing import Annotated

from typer import Argument

from ..extras import require


Base = Annotated[str, Argument(metavar="BASE", help="The base model: folder or name on the Hub.")]
Adapter = Annotated[str, Argument(metavar="ADAPTER", help="The adapter: folder or name on the Hub.")]
Folder = Annotated[Path, Argument(metavar="FOLDER", help="New folder for the result.")]

TASKS = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "FEATURE_EXTRACTION": "AutoModel",
}


def check_new(folder: Path) -> None:
    """Refuse a folder with something in it; it might be BASE."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is there and not empty; give a new folder.")


def load_adapted(base: str, adapter: str):
    """`base` with `adapter`, as the model class the adapter was made for.

    Raises:
        ValueError: the class cannot be told from the files.
    """
    peft = require("peft", extra="adapters")
    import transformers
    from transformers.utils import cached_file

    from .. import models
    from ..hub.load import ADAPTER_WEIGHTS, fit_labels

    adapter_config = peft.PeftConfig.from_pretrained(adapter)
    config = transformers.AutoConfig.from_pretrained(base)
    fit_labels(config, cached_file(adapter, ADAPTER_WEIGHTS))
    name = class_name(adapter_config, config)
    model_class = getattr(models, name, None) or getattr(transformers, name, None)
    if model_class is None:
        raise ValueError(f"the adapter is for a {name}, which neither transformers nor ginets has.")
    return peft.PeftModel.from_pretrained(model_class.from_pretrained(base, config=config), adapter)


def class_name(adapter_config, config) -> str:
    """By the task of the adapter; without one, what the adapter was made on, or what the base was saved as."""
    if adapter_config.task_type is not None:
        return TASKS[adapter_config.task_type]
    made_on = (adapter_config.auto_mapping or {}).get("base_model_class")
    return made_on or next(iter(config.architectures or ()), "AutoModel")

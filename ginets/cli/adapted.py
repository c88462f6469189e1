"""What the verbs that take a base and an adapter share: arguments, and loading the two."""

import argparse
from pathlib import Path

import transformers
from transformers import AutoConfig, PreTrainedConfig
from transformers.utils import cached_file

from .. import models
from ..extras import require
from ..hub.load import ADAPTER_WEIGHTS, fit_labels


TASKS = {
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "FEATURE_EXTRACTION": "AutoModel",
}


def parse(verb: str, description: str, arguments: list[str]) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(f"ginets {verb}", description=description)
    parser.add_argument("base", metavar="BASE", help="the base model: folder or name on the Hub")
    parser.add_argument("adapter", metavar="ADAPTER", help="the adapter: folder or name on the Hub")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="new folder for the result")
    given = parser.parse_args(arguments)
    if given.folder.is_file() or (given.folder.is_dir() and any(given.folder.iterdir())):
        parser.error(f"{given.folder} is there and not empty; give a new folder")  # it might be BASE
    return parser, given


def load_adapted(base: str, adapter: str):
    """`base` with `adapter`, as the model class the adapter was made for.

    Raises:
        ValueError: the class cannot be told from the files.
    """
    peft = require("peft", extra="adapters")
    adapter_config = peft.PeftConfig.from_pretrained(adapter)
    config = AutoConfig.from_pretrained(base)
    fit_labels(config, cached_file(adapter, ADAPTER_WEIGHTS))
    name = class_name(adapter_config, config)
    model_class = getattr(models, name, None) or getattr(transformers, name, None)
    if model_class is None:
        raise ValueError(f"the adapter is for a {name}, which neither transformers nor ginets has.")
    return peft.PeftModel.from_pretrained(model_class.from_pretrained(base, config=config), adapter)


def class_name(adapter_config, config: PreTrainedConfig) -> str:
    """By the task of the adapter; without one, what the adapter was made on, or what the base was saved as."""
    if adapter_config.task_type is not None:
        return TASKS[adapter_config.task_type]
    made_on = (adapter_config.auto_mapping or {}).get("base_model_class")
    return made_on or next(iter(config.architectures or ()), "AutoModel")

"""Tiny language models with opinions: of fresh ones all tokens are about as likely."""

import copy
from pathlib import Path

import torch

from ginets.generation.decoding import Decoding
from ginets.generation.writer import Writer
from tests.tiny_language import LETTERS, MODELS, make_tokenizer


PROMPTS = [[1, 5, 6, 7], [8], [1, 9, 9, 10, 11, 12, 13, 4], [7, 6, 5], [14, 15], [4, 4, 4, 4, 4]]


def make_model(name: str, seed: int = 0, **overrides):
    """A model of `tiny_language` whose weights are large, in evaluation mode."""
    model_class, config = MODELS[name]
    config = copy.deepcopy(config)
    for key, value in overrides.items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.35)
            if "_ina.B" in parameter_name:
                parameter.normal_(std=0.5)
    return model


def save(folder: Path, name: str = "gpt2", **overrides) -> str:
    """The folder of a model with its tokenizer."""
    make_model(name, **overrides).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return str(folder)


def write_prompts(path: Path, count: int) -> str:
    """`count` different prompts of differing lengths, one per line."""
    lines = [
        " ".join(LETTERS[(at * 7 + step * (1 + at // 16)) % 16] for step in range(1 + at % 5)) for at in range(count)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def writer(name: str, seed: int = 0, **decoding) -> Writer:
    return Writer(make_model(name, seed), make_tokenizer(), Decoding(**decoding))

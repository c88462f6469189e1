"""Attention as the model used it, captured in a normal forward: adapters live, gates at work, nothing computed anew."""

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from ..hub.load import position_limit


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attention:
    """The attention of a model on one text or pair of T tokens.

    Attributes:
        tokens: labels, see `labels_of`.
        special: `(T,)` bool, what the tokenizer added, such as `[CLS]`.
        weights: `(layers, heads, T, T)` float32; row: the token that looks (query), column: the one looked at (key).
            Each row sums to one.
        offsets: `(T, 2)` the characters of a token, within its text.
        text_ids: `(T,)` 0 for the first text, 1 for the second, -1 for special tokens.
    """

    tokens: tuple[str, ...]
    special: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray
    text_ids: np.ndarray


def capture(model, tokenizer, text: str, text_pair: str | None = None, max_length: int | None = None) -> Attention:
    """The attention of `model` on a text or a pair of texts.

    Args:
        model: encoder or decoder of transformers or ginets, with or without adapters.
        max_length: longer inputs are cut to that many tokens, a pair where it is longer; by default an input that is
            too long is refused.

    Raises:
        ValueError: see `encode` and `attention_weights`.
    """
    encoding = encode(tokenizer, base_of(model).config, text, text_pair, max_length)
    takes = inspect.signature(base_of(model).forward).parameters
    device = next(model.parameters()).device
    inputs = {
        name: torch.tensor([values], device=device)
        for name, values in encoding.items()
        if name in takes and name in tokenizer.model_input_names
    }
    weights = np.stack([layer[0].float().cpu().numpy() for layer in attention_weights(model, **inputs)])
    return attention_of(tokenizer, encoding, weights, text, text_pair)


def attention_of(tokenizer, encoding, weights: np.ndarray, text: str, text_pair: str | None = None) -> Attention:
    """`weights` `(layers, heads, T, T)` with what is known of the tokens, from the `encoding` of the text."""
    return Attention(
        tokens=labels_of(tokenizer, encoding, text, text_pair),
        special=np.array(encoding["special_tokens_mask"], dtype=bool),
        weights=weights,
        offsets=np.array(encoding["offset_mapping"]).reshape(-1, 2),
        text_ids=np.array([-1 if text_id is None else text_id for text_id in encoding.sequence_ids(0)]),
    )


def encode(tokenizer, config, text: str, text_pair: str | None = None, max_length: int | None = None):
    """The tokens of one input as the tokenizer returns them, with offsets and marks of special tokens.

    Args:
        config: of the model; it says how long an input may be.

    Raises:
        ValueError: the tokenizer knows no offsets, the input is empty, or longer than the model takes and no
            `max_length` was given.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} knows no offsets; a fast tokenizer is needed.")
    if max_length is not None and max_length < 1:
        raise ValueError(f"max_length is {max_length}; it must be at least 1.")
    limit = longest_input(tokenizer, config)
    length = limit if max_length is None else min(limit, max_length)
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "padding": False}
    encoding = tokenizer(text, text_pair, truncation=max_length is not None, max_length=length, **options)
    count = len(encoding["input_ids"])
    if count > length:
        raise ValueError(f"the text has {count} tokens, the model takes {limit}; give max_length to cut it.")
    if count == 0:
        raise ValueError("the text is empty.")
    return encoding


def longest_input(tokenizer, config) -> int:
    """The number of tokens that both model and tokenizer allow."""
    return min(position_limit(config) or tokenizer.model_max_length, tokenizer.model_max_length)


BLANKS = str.maketrans({"\n": "⏎", " ": "␣", "Ġ": "␣", "▁": "␣"})  # the last two: how tokenizers write one


def labels_of(tokenizer, encoding, text: str, text_pair: str | None = None) -> tuple[str, ...]:
    """What to print for each token: the text that it covers, with `##` before a piece that goes on with a word.

    Special and unknown tokens appear under their name, blanks as `␣`, line ends as `⏎`.
    """
    names, words, text_ids = encoding.tokens(0), encoding.word_ids(0), encoding.sequence_ids(0)
    labels = []
    offsets = encoding["offset_mapping"]
    for at, (start, end) in enumerate(offsets):
        if text_ids[at] is None or encoding["input_ids"][at] == tokenizer.unk_token_id:
            labels.append(names[at])
            continue
        source = text_pair if text_ids[at] else text
        piece = source[start:end]
        same_word = at > 0 and (text_ids[at - 1], words[at - 1]) == (text_ids[at], words[at])
        begins = start == 0 or source[start - 1].isspace() or piece[:1].isspace()
        if same_word and start < offsets[at - 1][1]:  # a further piece of one character
            begins = False
        shown = piece.strip() or (piece or names[at]).translate(BLANKS)
        labels.append(f"##{shown}" if same_word and not begins else shown)
    return tuple(labels)


def attention_weights(model, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The attention of each layer, `(batch, heads, T, T)`, from one forward of `model` in evaluation mode.

    A backend that does not return its weights (`sdpa`, flash) is replaced for this forward by `eager`, which computes
    the same; a warning says so.

    Raises:
        ValueError: the model does not return the attention of each token to each token.
    """
    with returning_weights(model), torch.no_grad():
        outputs = model(**inputs, output_attentions=True, return_dict=True)
    attentions = getattr(outputs, "attentions", None)
    if not attentions or any(layer is None for layer in attentions):
        raise ValueError(f"{type(base_of(model)).__name__} returns no attention weights.")
    if any(layer.dim() != 4 or layer.shape[-1] != layer.shape[-2] for layer in attentions):
        shape = tuple(attentions[0].shape)
        raise ValueError(f"attention of shape {shape} is not of tokens to tokens; prompts and prefixes have no label.")
    return tuple(attentions)


@contextmanager
def returning_weights(model) -> Iterator[None]:
    """Evaluation mode and `eager` attention for a while; afterwards everything is as before."""
    base = base_of(model)
    modes = {module: module.training for module in model.modules()}
    implementation = base.config._attn_implementation
    model.eval()
    try:
        if implementation != "eager":
            logger.warning("%s attention returns no weights: eager attention for the capture.", implementation)
            base.set_attn_implementation("eager")
        yield
    finally:
        if implementation != "eager":
            base.set_attn_implementation(implementation)
        for module, training in modes.items():
            module.training = training


def base_of(model):
    """The transformers model inside of a PEFT model; any other model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model

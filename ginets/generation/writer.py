"""A model that writes what follows prompts."""

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerBase

from ..hub.load import load_for_inference
from .batches import left_padded
from .decoding import Decoding
from .no_repeat import NoRepeatGeneratedNGram


class Writer:
    """A model, its tokenizer and a way of decoding: a batch of prompts → their texts.

    Texts do not depend on what else is in the batch, but for rounding, and for draws: those follow `seed`.
    """

    def __init__(self, model, tokenizer: PreTrainedTokenizerBase, decoding: Decoding):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.decoding = decoding
        self.end_ids, self.pad_id = settle(model, tokenizer, decoding.stop_at_blank_line)

    def __call__(self, prompts: Sequence[Sequence[int]], seed: int = 0) -> list[str]:
        """The texts that follow prompts of token ids, without blanks at their ends."""
        return [self.text(ids) for ids in self.write(prompts, seed)]

    def write(self, prompts: Sequence[Sequence[int]], seed: int = 0, streamer=None) -> list[list[int]]:
        """The token ids that follow each prompt, up to the first end token."""
        device = self.model.device
        batch = {name: tensor.to(device) for name, tensor in left_padded(prompts, self.pad_id).items()}
        longest = batch["input_ids"].shape[1]
        ban = [NoRepeatGeneratedNGram(n, longest)] if (n := self.decoding.no_repeat_ngram) else []
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            output = self.model.generate(
                **batch,
                generation_config=self.decoding.generation_config(self.end_ids, self.pad_id),
                logits_processor=LogitsProcessorList(ban),
                streamer=streamer,
            )
        return [self.cut(ids) for ids in output[:, longest:].tolist()]

    def cut(self, ids: list[int]) -> list[int]:
        """What stands before the first end token."""
        return ids[: next((at for at, i in enumerate(ids) if i in self.end_ids), len(ids))]

    def text(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return (text.partition("\n\n")[0] if self.decoding.stop_at_blank_line else text).strip()


def settle(model, tokenizer: PreTrainedTokenizerBase, stop_at_blank_line: bool = False) -> tuple[set[int], int]:
    """The tokens that end a text, and the one that pads. Of the model's own settings only its end tokens stay.

    transformers would take whatever else is in a model's `generation_config.json` (tokens that are suppressed, a least
    length, `min_p`, …) beside a `Decoding`.
    """
    model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
    ends = end_ids(model, tokenizer, stop_at_blank_line)
    return ends, next((i for i in (tokenizer.pad_token_id, *sorted(ends)) if i is not None), 0)


def end_ids(model, tokenizer: PreTrainedTokenizerBase, stop_at_blank_line: bool) -> set[int]:
    """The tokens that end a text: the tokenizer's and the model's, and if asked the blank line, where it is a token."""
    own = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    if stop_at_blank_line:
        blank_line = tokenizer("\n\n", add_special_tokens=False)["input_ids"]
        if len(blank_line) == 1 and tokenizer.decode(blank_line) == "\n\n":  # not an unknown token; GPT-2: 628
            ends.update(blank_line)
    return ends - {None}


def load_writer(path: str, decoding: Decoding, dtype: str = "float32") -> Writer:
    """The model or live adapter at `path`, on the accelerator if there is one."""
    model, tokenizer = load_for_inference(path, "CausalLM", dtype)
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    return Writer(model, tokenizer, decoding)

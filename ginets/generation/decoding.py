"""How text is chosen, and the settings of publications."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from transformers import GenerationConfig


# setting → least and largest value
RANGES = {
    "max_new_tokens": (1, inf), "num_beams": (1, inf), "length_penalty": (0, inf), "no_repeat_ngram": (0, inf),
    "temperature": (1e-6, inf), "top_k": (0, inf), "top_p": (1e-6, 1), "seed": (0, inf),
}  # fmt: skip


@dataclass(frozen=True)
class Decoding:
    """How text is chosen: greedily, by beam search, or drawn.

    Args:
        max_new_tokens: at most so many tokens.
        num_beams: hypotheses that are followed; 1 is greedy, or drawn.
        length_penalty: a hypothesis counts `Σ log p / length^length_penalty`, its end token included.
        no_repeat_ngram: of the tokens written (not of the prompt) no n-gram occurs twice; 0 allows it.
        sample: draw the tokens, with `temperature`, among the `top_k` (0: all) most likely ones, and among the fewest
            whose probabilities sum to `top_p`.
        seed: of the draws.
        stop_at_blank_line: a blank line ends the text.

    Raises:
        ValueError: a value is out of range, or beams shall be drawn.
    """

    max_new_tokens: int = 64
    num_beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    stop_at_blank_line: bool = False

    def __post_init__(self):
        for name, (least, largest) in RANGES.items():
            if not least <= (value := getattr(self, name)) <= largest:
                allowed = f"at least {least}" if largest == inf else f"{least} to {largest}"
                raise ValueError(f"{name} is {value}; allowed: {allowed}.")
        if self.sample and self.num_beams > 1:
            raise ValueError(f"sample is for num_beams 1, not {self.num_beams}; draw, or follow beams.")

    def generation_config(self, end_ids: Iterable[int], pad_id: int) -> GenerationConfig:
        """The same for transformers; `writer.settle` keeps a model's own settings out."""
        drawn = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p} if self.sample else {}
        # "never" stops once no open hypothesis can win any more; transformers' other rules may stop before that
        beams = {"length_penalty": self.length_penalty, "early_stopping": "never"} if self.num_beams > 1 else {}
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            num_beams=self.num_beams,
            do_sample=self.sample,
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            eos_token_id=sorted(end_ids) or None,
            pad_token_id=pad_id,
            **drawn,
            **beams,
        )


# LoRA's GPT-2 experiments, which MTLoRA repeats; the evaluation of LLM-Adapters; alpaca-lora
PUBLISHED = {
    **{
        task: Decoding(64, num_beams=10, length_penalty=penalty, no_repeat_ngram=4, stop_at_blank_line=True)
        for task, penalty in (("e2e", 0.9), ("webnlg", 0.8), ("dart", 0.8))
    },
    "math": Decoding(256, num_beams=4),
    "instruct": Decoding(256, num_beams=4),
}

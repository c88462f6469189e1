"""The options that say how text is chosen; their names, types and limits are those of `Decoding`."""

from types import SimpleNamespace
from typing import Annotated, Literal

from typer import Option


def option(text: str, metavar: str = "N"):
    return Option(help=text, metavar=metavar)


DTYPES = Literal["float32", "bfloat16", "float16"]
Dtype = Annotated[DTYPES, Option(help="To run the model in.")]
MaxNewTokens = Annotated[int | None, option("Write at most so many tokens.")]
NumBeams = Annotated[int | None, option("Hypotheses that beam search follows; 1 is greedy.")]
LengthPenalty = Annotated[float | None, option("A hypothesis counts Σ log p / length^PENALTY.", "PENALTY")]
NoRepeatNgram = Annotated[int | None, option("Let no n-gram of the tokens written occur twice; 0 allows it.")]
Sample = Annotated[bool | None, Option("--sample/--no-sample", help="Draw tokens.")]
Temperature = Annotated[float | None, option("Of --sample.")]
TopK = Annotated[int | None, option("Of --sample: among so many tokens, 0 for all.")]
TopP = Annotated[float | None, option("Of --sample: among the fewest tokens with this probability.")]
Seed = Annotated[int | None, option("Of --sample.")]
StopAtBlankLine = Annotated[
    bool | None, Option("--stop-at-blank-line/--no-stop-at-blank-line", help="End a text at a blank line.")
]
NAMES = (
    "max_new_tokens",
    "num_beams",
    "length_penalty",
    "no_repeat_ngram",
    "sample",
    "temperature",
    "top_k",
    "top_p",
    "seed",
    "stop_at_blank_line",
)
DRAWN = ("temperature", "top_k", "top_p")


def read_decoding(options: SimpleNamespace, default):
    """`default`, a `Decoding`, with the options that are given."""
    from dataclasses import replace

    given = {name: value for name in NAMES if (value := getattr(options, name, None)) is not None}
    if given.get("sample"):
        given.setdefault("num_beams", 1)
    elif useless := [name for name in DRAWN if name in given]:
        raise ValueError(f"--{useless[0].replace('_', '-')} is for --sample, which is not given.")
    return replace(default, **given)

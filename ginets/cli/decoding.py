"""The options that say how text is chosen; their names, types and limits are those of `Decoding`."""

import argparse
from collections.abc import Iterable


HELP = {
    "max_new_tokens": "write at most so many tokens",
    "num_beams": "hypotheses that beam search follows; 1 is greedy",
    "length_penalty": "a hypothesis counts Σ log p / length^PENALTY",
    "no_repeat_ngram": "let no n-gram of the tokens written occur twice; 0 allows it",
    "sample": "draw tokens",
    "temperature": "of --sample",
    "top_k": "of --sample: among so many tokens, 0 for all",
    "top_p": "of --sample: among the fewest tokens with this probability",
    "seed": "of --sample",
    "stop_at_blank_line": "end a text at a blank line",
}
FLAGS = ("sample", "stop_at_blank_line")
DRAWN = ("temperature", "top_k", "top_p")


def decoding_arguments(parser: argparse.ArgumentParser, names: Iterable[str] = HELP) -> None:
    """Add an option for each of `names`; unset ones are None."""
    group = parser.add_argument_group("how text is chosen")
    for name in names:
        if name in FLAGS:
            kind = {"action": argparse.BooleanOptionalAction}
        else:
            real = name in ("length_penalty", "temperature", "top_p")
            kind = {"type": float if real else int, "metavar": "PENALTY" if name == "length_penalty" else "N"}
        group.add_argument(f"--{name.replace('_', '-')}", help=HELP[name], **kind)


def read_decoding(options: argparse.Namespace, default):
    """`default`, a `Decoding`, with the options that are given."""
    from dataclasses import replace

    given = {name: value for name in HELP if (value := getattr(options, name, None)) is not None}
    if given.get("sample"):
        given.setdefault("num_beams", 1)
    elif useless := [name for name in DRAWN if name in given]:
        raise ValueError(f"--{useless[0].replace('_', '-')} is for --sample, which is not given.")
    return replace(default, **given)

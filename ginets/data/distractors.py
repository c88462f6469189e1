"""A small generated task about distractors: which attribute belongs to which thing?

A row is a text that gives several things one colour each, and a question about one of them; the answer is a colour:

    The black box is in the red bag. The cup is green.       What colour is the box?      black
    The lamp beside the white kite is blue.                  What colour is the lamp?     blue

The colours of the other things are *distractors*: which one is right follows only from what is bound to what. Guessing
is right in one case of six, naming any colour of the text in one of as many as the text has things. Some (thing,
colour) pairs never occur in `train` and `validation`; every answer in `heldout` is such a pair.

Everything is drawn from one seed: the same arguments give the same rows on every machine.
`python -m ginets.data.distractors FOLDER` writes the splits for `run_glue.py`.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


THINGS = ("bag", "box", "cup", "ball", "hat", "coat", "book", "lamp", "chair", "door", "boat", "kite")
COLOURS = ("red", "black", "green", "blue", "white", "yellow")
STATES = ("old", "open", "small", "heavy")
ONE_THING = ("The {t} is {c}.", "The {c} {t} is {state}.", "There is a {c} {t}.")
TWO_THINGS = (
    "The {c} {t} is in the {c2} {t2}.",
    "The {t} beside the {c2} {t2} is {c}.",
    "The {t} is {c} but the {t2} is {c2}.",
    "Near the {c} {t} the {t2} is {c2}.",
)
QUESTION = "What colour is the {t}?"
LABELS = COLOURS
SPLITS = ("train", "validation", "heldout")
SIZES = {"train": 960, "validation": 300, "heldout": 300}


@dataclass(frozen=True)
class Row:
    """One example. `bound` are the (thing, colour) pairs the text states, `asked` is the pair of the question."""

    sentence1: str
    sentence2: str
    label: int
    bound: tuple[tuple[str, str], ...]
    asked: tuple[str, str]


def is_heldout(thing: str, colour: str) -> bool:
    """Whether the pair is kept for the `heldout` split: one colour in six per thing, two things per colour."""
    return THINGS.index(thing) % len(COLOURS) == COLOURS.index(colour)


def generate(sizes: dict[str, int], seed: int = 0, things: int = 4) -> dict[str, list[Row]]:
    """Draw the splits.

    Args:
        sizes: rows per split, keys out of `SPLITS`; the six answers are equally frequent.
        seed: of the generator.
        things: how many things each text describes, 2 to 6 (there are six colours, each used once per text).

    Returns:
        Split name → rows. No text occurs twice, neither within a split nor across splits.
    """
    if unknown := set(sizes) - set(SPLITS):
        raise ValueError(f"sizes names the unknown splits {sorted(unknown)}; the splits are {', '.join(SPLITS)}.")
    if not 2 <= things <= len(COLOURS):
        raise ValueError(f"things is {things}; a text describes 2 to {len(COLOURS)} things.")
    rng = random.Random(seed)
    seen_texts: set[str] = set()
    splits = {}
    for split in SPLITS:
        rows: list[Row] = []
        while len(rows) < sizes.get(split, 0):
            row = _draw(rng, colour=COLOURS[len(rows) % len(COLOURS)], heldout=split == "heldout", things=things)
            if row.sentence1 not in seen_texts:
                seen_texts.add(row.sentence1)
                rows.append(row)
        rng.shuffle(rows)
        splits[split] = rows
    return {split: splits[split] for split in sizes}


def _draw(rng: random.Random, colour: str, heldout: bool, things: int) -> Row:
    """Draw bindings until they allow a question whose answer is `colour`, then word them."""
    while True:
        bound = tuple(zip(rng.sample(THINGS, things), rng.sample(COLOURS, things), strict=True))
        asked = next((pair for pair in bound if pair[1] == colour), None)
        # The asked pair is the only one that may be a held-out one, and in `heldout` it must be.
        if asked and is_heldout(*asked) == heldout and not any(is_heldout(*pair) for pair in bound if pair != asked):
            text = _text(rng, bound)
            return Row(text, QUESTION.format(t=asked[0]), COLOURS.index(colour), bound, asked)


def _text(rng: random.Random, bound: tuple[tuple[str, str], ...]) -> str:
    """Word the bindings: pairs of things in one sentence where possible, alone otherwise."""
    sentences, rest = [], list(bound)
    while rest:
        t, c = rest.pop()
        if rest and rng.random() < 0.7:
            t2, c2 = rest.pop()
            sentences.append(rng.choice(TWO_THINGS).format(t=t, c=c, t2=t2, c2=c2))
        else:
            sentences.append(rng.choice(ONE_THING).format(t=t, c=c, state=rng.choice(STATES)))
    return " ".join(sentences)


def word_list() -> list[str]:
    """All lower-case words and signs the generator can write, sorted: the vocabulary of a tokenizer for this task."""
    texts = " ".join((*ONE_THING, *TWO_THINGS, QUESTION)).lower()
    words = {w.strip(".?") for w in texts.split() if "{" not in w}
    return sorted(words | {*THINGS, *COLOURS, *STATES, ".", "?"})


def write(folder: str | Path, sizes: dict[str, int], seed: int = 0, things: int = 4) -> dict[str, str]:
    """Write the splits as `<split>.jsonl` with `sentence1`, `sentence2` and `label`, a colour; returns split → path."""
    splits = generate(sizes, seed, things)
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = {split: Path(folder, f"{split}.jsonl") for split in splits}
    for split, rows in splits.items():
        lines = [
            json.dumps({"sentence1": row.sentence1, "sentence2": row.sentence2, "label": COLOURS[row.label]})
            for row in rows
        ]
        paths[split].write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {split: str(path) for split, path in paths.items()}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m ginets.data.distractors", description="Write texts with distractors.")
    parser.add_argument("folder")
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=size, help=f"rows [default: {size}]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--things", type=int, default=4, help="in each text [default: 4]")
    options = parser.parse_args(argv)
    try:
        paths = write(
            options.folder, {split: getattr(options, split) for split in SIZES}, options.seed, options.things
        )
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(paths.values()))


if __name__ == "__main__":
    main()

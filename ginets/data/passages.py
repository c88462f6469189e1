"""Generated reading comprehension about distractors: the answer is a span of a passage that gives several things the
same kinds of attributes.

    The green bag is on the table. I put my red bag in the black bag. Anna has a white bag.
        What colour is the bag that I put in the black bag?     red
    The box of Ben is blue. Under the bed is a white box. The white cup is by the window.
        Where is the white box?                                 Under the bed

A passage states facts: a thing, named by its noun and its colour, has a place, an owner, a size, a material, or lies in
another thing. Beside the fact that the question is about stand at least one more of its kind and one more thing of the
same noun, so neither a noun nor an attribute alone finds the answer. As in `distractors`, whose words are shared,
some (thing, colour) pairs never occur in `train` and `validation`; the thing asked for in `heldout` is such a pair.

Everything is drawn from one seed: the same arguments give the same rows on every machine.
"""

import random
import re
from dataclasses import dataclass

from .distractors import COLOURS, SPLITS, THINGS, is_heldout


NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix")
PLACES = ("on the table", "under the bed", "by the window", "behind the sofa", "near the lake", "outside the house")
SIZES = ("tiny", "small", "large", "huge")
MATERIALS = ("wood", "metal", "paper", "glass")
CONTAINERS = ("bag", "box", "cup", "hat", "boat")
FACTS = (2, 4)  # of a passage, least and most


@dataclass(frozen=True)
class Kind:
    """A kind of fact.

    Attributes:
        says: wordings; {c} and {t} are colour and noun of the thing, {v} is its attribute, {c2} and {t2} are colour
            and noun of the thing that it lies in.
        asks: question → its answer, as a piece of a wording. A fact is asked only where its wording has the piece.
        values: of {v}.
    """

    says: tuple[str, ...]
    asks: dict[str, str]
    values: tuple[str, ...] = ()


KINDS = {
    "put": Kind(
        says=("I put my {c} {t} in the {c2} {t2}.", "in the {c2} {t2} I put my {c} {t}."),
        asks={
            "What colour is the {t} that I put in the {c2} {t2}?": "{c}",
            "What colour is the {t2} where I put my {c} {t}?": "{c2}",
            "What did I put in the {c2} {t2}?": "{c} {t}",
            "Where did I put my {c} {t}?": "in the {c2} {t2}",
        },
    ),
    "inside": Kind(
        says=(
            "the {t} in the {c2} {t2} is {c}.",
            "the {c} {t} is in the {c2} {t2}.",
            "the {c2} {t2} holds a {c} {t}.",
        ),
        asks={
            "What colour is the {t} in the {c2} {t2}?": "{c}",
            "What colour is the {t2} that holds the {c} {t}?": "{c2}",
            "What is in the {c2} {t2}?": "{c} {t}",
            "Where is the {c} {t}?": "in the {c2} {t2}",
        },
    ),
    "place": Kind(
        says=("the {c} {t} is {v}.", "the {t} {v} is {c}.", "{v} is a {c} {t}."),
        asks={"What colour is the {t} {v}?": "{c}", "What is {v}?": "{c} {t}", "Where is the {c} {t}?": "{v}"},
        values=PLACES,
    ),
    "owner": Kind(
        says=("{v} has a {c} {t}.", "the {t} of {v} is {c}.", "the {c} {t} belongs to {v}."),
        asks={
            "What colour is the {t} of {v}?": "{c}",
            "What does {v} have?": "{c} {t}",
            "Who has the {c} {t}?": "{v}",
        },
        values=NAMES,
    ),
    "size": Kind(
        says=("the {c} {t} is {v}.", "the {v} {t} is {c}.", "there is a {v} {c} {t}."),
        asks={"What colour is the {v} {t}?": "{c}", "What size is the {c} {t}?": "{v}"},
        values=SIZES,
    ),
    "material": Kind(
        says=("the {c} {t} is made of {v}.", "the {t} made of {v} is {c}.", "there is a {c} {t} made of {v}."),
        asks={"What colour is the {t} made of {v}?": "{c}", "What is the {c} {t} made of?": "{v}"},
        values=MATERIALS,
    ),
}
SLOTS = ("{c}", "{t}", "{v}", "{c2}", "{t2}")


@dataclass(frozen=True)
class Fact:
    """A kind, one of its wordings, and the words in its slots."""

    kind: str
    says: str
    slots: dict[str, str]

    @property
    def things(self) -> list[tuple[str, str]]:
        """The (noun, colour) pairs: the thing and, if it lies in another, that one."""
        return [(self.slots[t], self.slots[c]) for t, c in (("t", "c"), ("t2", "c2")) if t in self.slots]

    def span(self, piece: str, start: int = 0) -> tuple[int, int]:
        """Characters [start, end) of a piece of the wording, in a text where the fact begins at `start`."""
        before = start + len(self.says.partition(piece)[0].format(**self.slots))
        return before, before + len(piece.format(**self.slots))

    def __str__(self) -> str:
        text = self.says.format(**self.slots)
        return text[0].upper() + text[1:]


def generate(sizes: dict[str, int], seed: int = 0, facts: int = 3, unanswerable: float = 0.0) -> dict[str, list[dict]]:
    """Draw the splits.

    Args:
        sizes: rows per split, keys out of `SPLITS`.
        seed: of the generator.
        facts: how many facts a passage states, 2 to 4; with 3, question and passage have at most 48 tokens.
        unanswerable: share of questions about a fact that the passage does not state, 0 to 1.

    Returns:
        Split → rows with the columns of SQuAD (`id`, `title`, `context`, `question`, `answers`), the kind of fact as
        `title`, and `relevant`: spans [start, end) of the context, the words that bind the thing asked for to its
        answer. No passage occurs twice, neither within a split nor across splits, nor is one of them `showcase`.
    """
    if unknown := set(sizes) - set(SPLITS):
        raise ValueError(f"sizes names the unknown splits {sorted(unknown)}; the splits are {', '.join(SPLITS)}.")
    if not FACTS[0] <= facts <= FACTS[1]:
        raise ValueError(f"facts is {facts}; a passage states {FACTS[0]} to {FACTS[1]}.")
    if not 0 <= unanswerable <= 1:
        raise ValueError(f"unanswerable is {unanswerable}; it is a share, 0 to 1.")
    rng = random.Random(seed)
    seen = {showcase()["context"]}
    splits: dict[str, list[dict]] = {}
    for split in SPLITS:
        rows = splits[split] = []
        while len(rows) < sizes.get(split, 0):
            row = _draw(rng, split == "heldout", facts, answerable=rng.random() >= unanswerable)
            if row["context"] not in seen:
                seen.add(row["context"])
                rows.append({"id": f"{split}-{len(rows)}", **row})
    return {split: splits[split] for split in sizes}


def showcase() -> dict:
    """The question that the README of InA asks, among other bags; the same in every run, and in no split."""
    facts = [
        Fact("place", "the {c} {t} is {v}.", {"c": "green", "t": "bag", "v": "on the table"}),
        Fact("put", KINDS["put"].says[0], {"c": "red", "t": "bag", "c2": "black", "t2": "bag"}),
        Fact("owner", "{v} has a {c} {t}.", {"c": "white", "t": "bag", "v": "Anna"}),
    ]
    question = "What colour is the {t} that I put in the {c2} {t2}?"
    return {"id": "showcase", **_row(facts, facts[1], question, KINDS["put"].asks[question])}


def word_list() -> list[str]:
    """All lower-case words and signs the generator can write, sorted: the vocabulary of a tokenizer for this task."""
    texts = [text for kind in KINDS.values() for text in (*kind.says, *kind.asks, *kind.values)]
    words = set(re.findall(r"[a-z]+", re.sub(r"{\w+}", "", " ".join(texts)).lower()))
    return sorted(words | {*THINGS, *COLOURS, ".", "?"})


def _draw(rng: random.Random, heldout: bool, facts: int, answerable: bool) -> dict:
    """Draw facts and a question until they go together, then word them."""
    kind = rng.choice(list(KINDS))
    while True:
        stated = _facts(rng, kind, facts + (not answerable))
        asked, others = stated[0], stated[1:]
        question, answer = rng.choice([ask for ask in KINDS[asked.kind].asks.items() if ask[1] in asked.says])
        things = [thing for fact in stated for thing in fact.things]
        target = asked.things[answer == "{c2}"]
        things.remove(target)
        # The thing asked for is the only one that may be a held-out pair, and in `heldout` it must be. It is named
        # apart from others of its noun, and no thing is mentioned twice.
        alone = target in things or len(set(things)) < len(things) or all(noun != target[0] for noun, _ in things)
        if not alone and is_heldout(*target) == heldout and not any(is_heldout(*thing) for thing in things):
            written = [asked, *others] if answerable else others
            rng.shuffle(written)
            return _row(written, asked, question, answer)


def _facts(rng: random.Random, kind: str, count: int) -> list[Fact]:
    """Facts about things of two nouns, one of them the more frequent; no attribute occurs twice. Two are of `kind`."""
    kinds = [kind, kind, *rng.choices(list(KINDS), k=count - 2)]
    nouns = rng.sample(THINGS, 2)
    containers = [noun for noun in nouns if noun in CONTAINERS] or CONTAINERS
    values = {name: rng.sample(each.values, len(each.values)) for name, each in KINDS.items()}
    facts = []
    for name in kinds:
        slots = {"t": rng.choice((nouns[0], *nouns)), "c": rng.choice(COLOURS)}
        more = {"v": values[name].pop()} if values[name] else {"t2": rng.choice(containers), "c2": rng.choice(COLOURS)}
        facts.append(Fact(name, rng.choice(KINDS[name].says), slots | more))
    return facts


def _row(written: list[Fact], asked: Fact, question: str, answer: str) -> dict:
    """Word the facts; the answer and what is relevant are where `asked` is, if that is written at all."""
    context = " ".join(map(str, written))
    row = {"title": asked.kind, "context": context, "question": question.format(**asked.slots)}
    if asked not in written:
        return row | {"answers": {"text": [], "answer_start": []}, "relevant": []}
    begin = sum(len(str(fact)) + 1 for fact in written[: written.index(asked)])
    start, end = asked.span(answer, begin)
    relevant = sorted(list(asked.span(slot, begin)) for slot in SLOTS if slot in asked.says)
    return row | {"answers": {"text": [context[start:end]], "answer_start": [start]}, "relevant": relevant}

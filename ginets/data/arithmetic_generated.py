"""Generated word problems of one and two steps, with worked solutions: a set that small models can learn.

`python -m ginets.data.arithmetic_generated FOLDER` writes `train.jsonl`, `validation.jsonl` and `test.jsonl` in the
form of GSM8K.

All splits share their wordings; what they do not share are the numbers. A calculation (its kind and its numbers in
order) belongs to one split by its checksum, so that none of the test set's occurs in training, in whatever words.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from zlib import crc32


SPLITS = ("train", "validation", "test")
SHARES = (8, 1, 1)  # of the calculations, per split
SIZES = {"train": 4000, "validation": 200, "test": 500}
PATIENCE = 1000  # draws per row before a split counts as exhausted

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jon", "Kira", "Leo")
THINGS = ("shells", "stamps", "pencils", "apples", "coins", "cards", "marbles", "buttons", "beads", "stickers")


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        asks: wordings; {name}, {other}, {things} and the numbers {a}, {b}, {c}.
        draw: a generator of random numbers and the largest number → a, b (and c), all results whole and positive.
        steps: lines of the solution, {x} and {y} for the results of the first and the second.
        compute: the numbers → the results, one per step.
    """

    asks: tuple[str, ...]
    draw: Callable[[random.Random, int], tuple[int, ...]]
    steps: tuple[str, ...]
    compute: Callable[..., tuple[int, ...]]


def _any(count: int) -> Callable[[random.Random, int], tuple[int, ...]]:
    return lambda rng, largest: tuple(rng.randint(2, largest) for _ in range(count))


def _less(rng: random.Random, largest: int) -> tuple[int, int]:
    a = rng.randint(3, largest)
    return a, rng.randint(1, a - 1)


def _factors(rng: random.Random, largest: int) -> tuple[int, int]:
    return rng.randint(2, 12), rng.randint(2, max(2, min(12, largest)))


def _quotient(rng: random.Random, largest: int) -> tuple[int, int]:
    a, b = _factors(rng, largest)
    return a * b, b


def _factors_and(rng: random.Random, largest: int) -> tuple[int, int, int]:
    return *_factors(rng, largest), rng.randint(2, largest)


def _product_less(rng: random.Random, largest: int) -> tuple[int, int, int]:
    a, b = _factors(rng, largest)
    return a, b, rng.randint(1, a * b - 1)


def _sum_shared(rng: random.Random, largest: int) -> tuple[int, int, int]:
    total, share = _quotient(rng, largest)
    part = rng.randint(2, total - 2)
    return part, total - part, share


KINDS = {
    "plus": Kind(
        (
            "{name} has {a} {things} and finds {b} more. How many {things} does {name} have now?",
            "There are {a} {things} in a box. {name} puts {b} more into it. How many {things} are in the box?",
            "{name} owns {a} {things} and {other} owns {b}. How many {things} do they own together?",
        ),
        _any(2), ("{a} + {b} = {x}",), lambda a, b: (a + b,),
    ),
    "minus": Kind(
        (
            "{name} has {a} {things} and gives {b} of them to {other}. How many {things} does {name} keep?",
            "A jar holds {a} {things}. {name} takes out {b}. How many {things} stay in the jar?",
            "{name} counts {a} {things}, {other} counts {b}. How many more {things} does {name} count?",
        ),
        _less, ("{a} - {b} = {x}",), lambda a, b: (a - b,),
    ),
    "times": Kind(
        (
            "{name} fills {a} bags with {b} {things} each. How many {things} are that?",
            "On each of {a} days {name} collects {b} {things}. How many {things} does {name} collect?",
        ),
        _factors, ("{a} * {b} = {x}",), lambda a, b: (a * b,),
    ),
    "share": Kind(
        (
            "{name} shares {a} {things} equally among {b} friends. How many {things} does each friend get?",
            "{a} {things} are laid in {b} equal rows. How many {things} are in a row?",
        ),
        _quotient, ("{a} / {b} = {x}",), lambda a, b: (a // b,),
    ),
    "times plus": Kind(
        (
            "{name} buys {a} packs of {b} {things} and already had {c}. How many {things} does {name} have now?",
            "There are {a} shelves with {b} {things} each, and {c} {things} on the floor. How many {things} are there?",
        ),
        _factors_and, ("{a} * {b} = {x}", "{x} + {c} = {y}"), lambda a, b, c: (a * b, a * b + c),
    ),
    "times minus": Kind(
        (
            "{name} packs {a} boxes of {b} {things} and sells {c} {things}. How many {things} are not sold?",
            "{other} brings {a} bags with {b} {things} each. {name} loses {c} of them. How many {things} are left?",
        ),
        _product_less, ("{a} * {b} = {x}", "{x} - {c} = {y}"), lambda a, b, c: (a * b, a * b - c),
    ),
    "plus share": Kind(
        (
            "{name} has {a} {things} and {other} has {b}. They pile them up in {c} equal heaps. "
            "How many {things} are in a heap?",
        ),
        _sum_shared, ("{a} + {b} = {x}", "{x} / {c} = {y}"), lambda a, b, c: (a + b, (a + b) // c),
    ),
    "plus plus": Kind(
        ("{name} picks {a} {things} on Monday, {b} on Tuesday and {c} on Friday. How many {things} are that together?",),
        _any(3), ("{a} + {b} = {x}", "{x} + {c} = {y}"), lambda a, b, c: (a + b, a + b + c),
    ),
}  # fmt: skip


def generate(
    sizes: dict[str, int], seed: int = 0, steps: Sequence[int] = (1, 2), largest: int = 50
) -> dict[str, list[dict[str, str]]]:
    """Draw the splits.

    Args:
        sizes: rows per split, keys out of `SPLITS`.
        seed: of the generator.
        steps: how many steps a solution may have: 1, 2 or both.
        largest: number that is added or taken away; factors are at most 12.

    Returns:
        Split → rows of `question` and `answer`, the solution with "#### n" at its end. No question occurs twice, and
        no calculation in two splits.

    Raises:
        ValueError: an unknown split or number of steps, less than no rows, or more rows than there are questions.
    """
    if unknown := set(sizes) - set(SPLITS):
        raise ValueError(f"sizes names the unknown splits {sorted(unknown)}; the splits are {', '.join(SPLITS)}.")
    if bad := [f"{split} {size}" for split, size in sizes.items() if size < 0]:
        raise ValueError(f"sizes has {bad[0]}; it must be 0 or more.")
    if not steps or not set(steps) <= {1, 2}:
        raise ValueError(f"steps is {list(steps)}; a solution has 1 or 2.")
    if largest < 3:
        raise ValueError(f"largest is {largest}; it must be at least 3.")
    kinds = [name for name, kind in KINDS.items() if len(kind.steps) in steps]
    rng = random.Random(seed)
    return {split: _draw(rng, split, sizes[split], kinds, largest) for split in SPLITS if split in sizes}


def split_of(kind: str, numbers: Sequence[int]) -> str:
    """The split that a calculation belongs to."""
    at = crc32(f"{kind} {' '.join(map(str, numbers))}".encode()) % sum(SHARES)
    return next(split for split, end in zip(SPLITS, accumulate(SHARES), strict=True) if at < end)


def _draw(rng: random.Random, split: str, size: int, kinds: list[str], largest: int) -> list[dict[str, str]]:
    rows, misses = {}, 0
    while len(rows) < size:
        kind = rng.choice(kinds)
        numbers = KINDS[kind].draw(rng, largest)
        row = _row(rng, KINDS[kind], numbers) if split_of(kind, numbers) == split else None
        if row and row["question"] not in rows:
            rows[row["question"]], misses = row, 0
        elif (misses := misses + 1) > PATIENCE:
            raise ValueError(
                f"{split} has {size} rows, but only {len(rows)} questions were found; give a larger number."
            )
    return list(rows.values())


def _row(rng: random.Random, kind: Kind, numbers: tuple[int, ...]) -> dict[str, str]:
    name, other = rng.sample(NAMES, 2)
    results = kind.compute(*numbers)
    slots = dict(zip("abc", numbers, strict=False)) | dict(zip("xy", results, strict=False))
    question = rng.choice(kind.asks).format(name=name, other=other, things=rng.choice(THINGS), **slots)
    solution = "\n".join(step.format(**slots) for step in kind.steps)
    return {"question": question, "answer": f"{solution}\n#### {results[-1]}"}


def write(folder: str | Path, sizes: dict[str, int], seed: int = 0, **options) -> list[Path]:
    """Write the splits as `<split>.jsonl`; `options` go to `generate`."""
    splits = generate(sizes, seed, **options)
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = [Path(folder, f"{split}.jsonl") for split in splits]
    for path, rows in zip(paths, splits.values(), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


def main(argv: Sequence[str] | None = None):
    parser = argparse.ArgumentParser("python -m ginets.data.arithmetic_generated", description="Write word problems.")
    parser.add_argument("folder")
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=size, help=f"rows [default: {size}]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2], help="1, 2 or both [default: both]")
    parser.add_argument("--largest", type=int, default=50, help="largest number [default: 50]")
    options = parser.parse_args(argv)
    sizes = {split: getattr(options, split) for split in SPLITS}
    try:
        paths = write(options.folder, sizes, options.seed, steps=options.steps, largest=options.largest)
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(map(str, paths)))


if __name__ == "__main__":
    main()

"""E2E, WebNLG 2017 and DART, from their published files or the Hub: what a model reads, and what people wrote.

A row is one (input, reference) pair, {"input": …, "reference": …}, with WebNLG also {"category": …}. Training goes over
rows; scoring over the distinct inputs, each with all its references (`distinct`).
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .hub import load_splits
from .nlg_sources import READERS, Entry, Triple
from .tabular import PLACE, DataError, Row, check_text, read_lines, read_table


logger = logging.getLogger(__name__)

# The ten categories of WebNLG's training data; those of the test set's other entries are unseen.
SEEN = {
    "Airport", "Astronaut", "Building", "City", "ComicsCharacter", "Food", "Monument", "SportsTeam", "University",
    "WrittenWork",
}  # fmt: skip
CATEGORIES = ("all", "seen", "unseen")
# task → dataset and folder of the parquet files that the Hub made of it (the datasets themselves are scripts)
HUB_DATASETS = {
    "e2e": ("tuetschek/e2e_nlg", "default"),
    "webnlg": ("webnlg-challenge/web_nlg", "webnlg_challenge_2017"),
    "dart": ("Yale-LILY/dart", "default"),
}


@dataclass(frozen=True)
class Linearisation:
    """How facts become one line.

    Args:
        field: between subject, relation and object.
        triple: between triples.
        lower_relation: lower-case the relation.
        attributes: E2E: write attributes like this, too ("name : Blue Spice | Type : coffee shop"), with the names of
            the copy that LoRA and prefix tuning train on. Otherwise its meaning representation stays as it is.
    """

    field: str = " : "
    triple: str = " | "
    lower_relation: bool = False
    attributes: bool = False

    def __call__(self, facts: str | Sequence[Triple], place: str = "") -> str:
        """The line; `place` begins the message where an E2E meaning representation cannot be taken apart."""
        if isinstance(facts, str):
            return self.triple.join(map(self.field.join, _attributes(facts, place))) if self.attributes else facts
        lines = (
            (subject, relation.lower() if self.lower_relation else relation, object_)
            for subject, relation, object_ in facts
        )
        return self.triple.join(map(self.field.join, lines))


PUBLISHED = {"e2e": Linearisation(), "webnlg": Linearisation(), "dart": Linearisation(lower_relation=True)}
ATTRIBUTE = re.compile(r"([^\[\],]+)\[([^\[\]]*)\](?:,\s*|$)")
ATTRIBUTE_NAMES = {"eatType": "Type", "priceRange": "price", "familyFriendly": "family friendly"}


@dataclass(frozen=True)
class Item:
    """A distinct input and what people wrote for it. `id` is its number among those of the file, from 0, as text."""

    id: str
    input: str
    references: tuple[str, ...]


def read_rows(
    task: str, path: str | os.PathLike, categories: str = "all", form: Linearisation | None = None
) -> list[Row]:
    """Read a published file.

    Args:
        task: `e2e` (csv with `mr`, `ref`), `webnlg` (challenge json) or `dart` (json).
        categories: WebNLG: keep `all` rows, those of `seen` or those of `unseen` categories.
        form: how inputs are written; by default as published (`PUBLISHED`).

    Returns:
        Rows in the order of the file. WebNLG has only the lexicalisations commented "good". References are stripped;
        empty ones are left out with a warning.

    Raises:
        DataError: naming file, entry and field of the first thing that cannot be used.
    """
    from_file, _ = READERS[_known(task, categories)]
    return _rows(task, from_file(path), str(path), categories, form)


def load_hub(
    task: str,
    splits: Iterable[str],
    categories: str = "all",
    form: Linearisation | None = None,
    dataset: str | None = None,
    **options,
) -> dict[str, list[Row]]:
    """The same rows from the Hub, split → rows; or from `dataset`, anything with the same columns as there.

    `options` go to `datasets.load_dataset`. The splits are `train`, `validation` and `test`.
    """
    _, from_hub = READERS[_known(task, categories)]
    if dataset is None:
        dataset, folder = HUB_DATASETS[task]
        options = {"revision": "refs/convert/parquet", "data_dir": folder, **options}
    splits = list(splits)
    raw = load_splits(dataset, None, splits, "Local data can be given as published files.", **options)
    loaded = {}
    for split in splits:
        source = f"{dataset} ({split})"
        numbered = [{**row, PLACE: f"row {number}"} for number, row in enumerate(raw[split], start=1)]
        loaded[split] = _rows(task, from_hub(numbered, source), source, categories, form)
    return loaded


def distinct(rows: Iterable[Row], categories: str = "all") -> list[Item]:
    """The distinct inputs of `rows` that have references in `categories`, in order of first occurrence.

    Ids number the distinct inputs of all rows, whatever `categories` keeps.
    """
    ids: dict[str, str] = {}
    references: dict[str, list[str]] = {}
    for row in rows:
        ids.setdefault(row["input"], str(len(ids)))
        if _kept(row.get("category", ""), categories):
            references.setdefault(row["input"], []).append(row["reference"])
    return [Item(ids[text], text, tuple(texts)) for text, texts in references.items()]


def read_predictions(path: str | os.PathLike, items: Sequence[Item], kept: Sequence[Item] | None = None) -> list[str]:
    """The predictions for `kept`, out of those for `items`.

    Args:
        path: text with one prediction per line, in the order of `items` (or of `kept`, where there are as many lines);
            or `.jsonl` with `id` and `text`, and with `input`, if it shall be compared, in any order.
        items: all inputs of the data.
        kept: those that count; all by default.

    Raises:
        DataError: a wrong number of lines, an id that is missing, unknown or there twice, or another input.
    """
    kept = items if kept is None else kept
    if str(path).lower().endswith(".jsonl"):
        texts = _by_id(path, items)
        if missing := [item.id for item in kept if item.id not in texts]:
            raise DataError(
                f"{path}: {len(missing)} of {len(kept)} inputs have no prediction, e.g. id {missing[0]!r}."
            )
        return [texts[item.id] for item in kept]
    lines = read_lines(path)
    for group in (items, kept):
        if len(lines) == len(group):
            texts = dict(zip((item.id for item in group), lines, strict=True))
            return [texts[item.id] for item in kept]
    wanted = f"{len(items)} distinct inputs" + (f" ({len(kept)} of them count)" if len(kept) < len(items) else "")
    raise DataError(
        f"{path}: has {len(lines)} lines, the data {wanted}; give one prediction per line, in their order."
    )


def _by_id(path: str | os.PathLike, items: Sequence[Item]) -> dict[str, str]:
    inputs = {item.id: item.input for item in items}
    texts: dict[str, str] = {}
    for row in read_table(path):
        place = f"{path}, {row[PLACE]}"
        if missing := [name for name in ("id", "text") if name not in row]:
            raise DataError(f'{place}: there is no {missing[0]!r}; a prediction is {{"id": "0", "text": "…"}}.')
        name = str(row["id"])
        if name not in inputs:
            raise DataError(
                f"{place}: there is no input {name!r}; ids number the distinct inputs, 0 to {len(items) - 1}."
            )
        if name in texts:
            raise DataError(f"{place}: id {name!r} occurs twice.")
        if "input" in row and row["input"] != inputs[name]:
            raise DataError(
                f"{place}: input is {row['input']!r:.80}, that of id {name!r} in the data {inputs[name]!r:.80}."
            )
        check_text(row["text"], f"{place}: text")
        texts[name] = row["text"]
    return texts


def write_predictions(path: str | os.PathLike, items: Sequence[Item], texts: Sequence[str]):
    """Write the `.jsonl` form of predictions: `id`, `input`, `text`."""
    with open(path, "w", encoding="utf-8") as file:
        for item, text in zip(items, texts, strict=True):
            file.write(json.dumps({"id": item.id, "input": item.input, "text": text}, ensure_ascii=False) + "\n")


def _rows(task: str, entries: Iterable[Entry], source: str, categories: str, form: Linearisation | None) -> list[Row]:
    form, rows, empty = form or PUBLISHED[task], [], []
    for entry in entries:
        if not _kept(entry.category, categories):
            continue
        line = form(entry.facts, entry.place)
        for reference in map(str.strip, entry.references):
            if reference:
                rows.append({"input": line, "reference": reference})
                if entry.category:
                    rows[-1]["category"] = entry.category
            else:
                empty.append(entry.place)
    if empty:
        logger.warning("%d empty references are left out, e.g. %s.", len(empty), empty[0])
    if not rows:
        of = "" if categories == "all" else f" of {categories} categories"
        raise DataError(f"{source}: there is no reference{of}.")
    return rows


def _kept(category: str, categories: str) -> bool:
    return categories == "all" or (category in SEEN) == (categories == "seen")


def _known(task: str, categories: str) -> str:
    for name, value, allowed in (("task", task, READERS), ("categories", categories, CATEGORIES)):
        if value not in allowed:
            raise DataError(f"{name} is {value!r}; choose from {', '.join(allowed)}.")
    if categories != "all" and task != "webnlg":
        raise DataError(f"categories is {categories!r}; only WebNLG knows seen and unseen ones.")
    return task


def _attributes(mr: str, place: str) -> list[tuple[str, str]]:
    """`name[Blue Spice], eatType[pub]` → name and value, as the copy that is trained on names them."""
    if not mr or ATTRIBUTE.sub("", mr):
        raise DataError(f"{place}: mr is {mr[:80]!r}; it must be name[value], name[value], …")
    return [(ATTRIBUTE_NAMES.get(name.strip(), name.strip()), value) for name, value in ATTRIBUTE.findall(mr)]

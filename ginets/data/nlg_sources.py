"""The published forms of E2E, WebNLG 2017 and DART, and those of the Hub: checked, and all read into `Entry`."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .tabular import PLACE, DataError, Row, check_text, read_json, read_table


Triple = tuple[str, str, str]  # subject, relation, object


class Entry(NamedTuple):
    """One entry of a data set: what is to be said, and how people said it."""

    place: str  # for messages
    facts: str | list[Triple]  # an E2E meaning representation as it stands, or triples
    references: list[str]
    category: str = ""  # WebNLG


def e2e_file(path: str | os.PathLike) -> Iterator[Entry]:
    """The official csv with the columns `mr` and `ref` (or the same columns in a .json or .jsonl file)."""
    return _pairs(read_table(path), "mr", "ref", path)


def e2e_hub(rows: Iterable[Row], source: str) -> Iterator[Entry]:
    """Rows of the Hub: `meaning_representation`, `human_reference`."""
    return _pairs(rows, "meaning_representation", "human_reference", source)


def webnlg_file(path: str | os.PathLike) -> Iterator[Entry]:
    """The challenge's json: {"entries": [{"1": {"category", "modifiedtripleset", "lexicalisations", …}}, …]}."""
    entries = _field(read_json(path), "entries", list, str(path))
    for number, wrapped in enumerate(entries, start=1):
        place = f"{path}, entry {number}"
        if not isinstance(wrapped, dict) or len(wrapped) != 1:
            raise DataError(f'{place}: is {str(wrapped)[:80]!r}; it must be an object {{"{number}": {{…}}}}.')
        yield _webnlg(*wrapped.values(), place)


def webnlg_hub(rows: Iterable[Row], source: str) -> Iterator[Entry]:
    """Rows of the Hub: `category`, `modified_triple_sets`, `lex`, `test_category`.

    Its test split holds three files; `testdata_with_lex` is the test set, the others repeat parts of it.
    """
    for row in rows:
        place = f"{source}, {row[PLACE]}"
        if row.get("test_category") in ("testdata_no_lex", "testdata_unseen_with_lex"):
            continue
        sets = _objects(_field(row, "modified_triple_sets", dict | list, place), place)
        texts = _objects(_field(row, "lex", dict | list, place), place)
        triples = _field(sets[0] if sets else {}, "mtriple_set", list, f"{place}, modified_triple_sets")
        names = ("subject", "property", "object")
        published = {
            "category": _field(row, "category", str, place),
            "modifiedtripleset": [dict(zip(names, str(each).split(" | ", 2), strict=False)) for each in triples],
            "lexicalisations": [{**each, "lex": each.get("text")} for each in texts],
        }
        yield _webnlg(published, place)


def dart_file(path: str | os.PathLike) -> Iterator[Entry]:
    """The published json: [{"tripleset": [[s, r, o], …], "annotations": [{"source", "text"}, …]}, …]."""
    entries = read_json(path)
    if not isinstance(entries, list):
        raise DataError(f"{path}: holds {str(entries)[:60]!r}; it must be a list of entries.")
    return (_dart(entry, f"{path}, entry {number}") for number, entry in enumerate(entries, start=1))


def dart_hub(rows: Iterable[Row], source: str) -> Iterator[Entry]:
    """Rows of the Hub: `tripleset`, `annotations`."""
    return (_dart(row, f"{source}, {row[PLACE]}") for row in rows)


def _pairs(rows: Iterable[Row], mr: str, ref: str, source: str | os.PathLike) -> Iterator[Entry]:
    for row in rows:
        place = f"{source}, {row[PLACE]}"
        yield Entry(place, _text(row, mr, place), [_text(row, ref, place, blank=True)])


def _webnlg(entry: object, place: str) -> Entry:
    """An entry with the lexicalisations that people commented "good"."""
    triples = []
    for number, triple in enumerate(_items(entry, "modifiedtripleset", place), start=1):
        there = f"{place}, modifiedtripleset {number}"
        triples.append(tuple(_text(triple, name, there) for name in ("subject", "property", "object")))
    good = []
    for number, text in enumerate(_field(entry, "lexicalisations", list, place), start=1):
        there = f"{place}, lexicalisation {number}"
        lex = _text(text, "lex", there, blank=True)
        if _field(text, "comment", str, there) == "good":
            good.append(lex)
    return Entry(place, triples, good, _text(entry, "category", place))


def _dart(entry: object, place: str) -> Entry:
    triples = []
    for number, triple in enumerate(_items(entry, "tripleset", place), start=1):
        there = f"{place}, tripleset {number}"
        if not isinstance(triple, list) or len(triple) != 3:
            raise DataError(f"{there}: is {str(triple)[:80]!r}; it must be [subject, relation, object].")
        for name, part in zip(("subject", "relation", "object"), triple, strict=True):
            check_text(part, f"{there}: {name}")
        triples.append(tuple(triple))
    references = []
    for number, text in enumerate(_objects(_field(entry, "annotations", list | dict, place), place), start=1):
        references.append(_text(text, "text", f"{place}, annotation {number}", blank=True))
    return Entry(place, triples, references)


def _objects(value: list | dict, place: str) -> list[dict]:
    """A list of objects, which the Hub spells as an object of lists."""
    if isinstance(value, Mapping):
        lengths = {name: len(items) if isinstance(items, list) else None for name, items in value.items()}
        if len(set(lengths.values())) > 1 or None in lengths.values():
            raise DataError(f"{place}: {', '.join(lengths)} must be lists of one length.")
        return [dict(zip(value, items, strict=True)) for items in zip(*value.values(), strict=True)]
    return list(value)


def _items(value: object, name: str, place: str) -> list:
    """The list `value[name]`, which must not be empty."""
    if not (items := _field(value, name, list, place)):
        raise DataError(f"{place}: {name} is empty; there is nothing to say.")
    return items


def _text(value: object, name: str, place: str, blank: bool = False) -> str:
    """The text `value[name]`, blank only where it may be."""
    text = _field(value, name, str, place)
    check_text(text, f"{place}: {name}")
    if not blank and not text.strip():
        raise DataError(f"{place}: {name} is empty.")
    return text


KINDS = {str: "text", list: "a list", dict | list: "a list"}


def _field(value: object, name: str, kind: type, place: str):
    """`value[name]`, after checking that it is there and of this kind."""
    if not isinstance(value, Mapping):
        raise DataError(f"{place}: is {str(value)[:80]!r}; it must be an object with {name!r}.")
    if name not in value:
        has = ", ".join(each for each in value if each != PLACE)
        raise DataError(f"{place}: there is no {name!r}; it has {has or 'nothing'}.")
    if not isinstance(value[name], kind):
        raise DataError(f"{place}: {name} is {value[name]!r:.80}; it must be {KINDS[kind]}.")
    return value[name]


# task → reader of a file, reader of the Hub's rows
READERS = {"e2e": (e2e_file, e2e_hub), "webnlg": (webnlg_file, webnlg_hub), "dart": (dart_file, dart_hub)}

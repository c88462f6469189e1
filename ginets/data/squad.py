"""SQuAD 1.1 and 2.0 and look-alikes: three sources that end in the same columns, checked row by row.

Sources: the Hub, JSON files in the official schema (articles → paragraphs → questions), or csv/json/jsonl files with one
question per row. All end in a `datasets.Dataset` with the columns of the Hub: `id`, `title`, `context`, `question` and,
where they are known, `answers` = {"text": [...], "answer_start": [...]}, both empty for an unanswerable question.
"""

import ast
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from ..extras import require
from .hub import load_splits
from .tabular import PLACE, DataError, Row, check_text, columns_of, read_json, read_table


HUB_DATASETS = {False: "rajpurkar/squad", True: "rajpurkar/squad_v2"}  # by whether questions may have no answer
REQUIRED = ("id", "context", "question")
SCHEMA = {"article": ("paragraphs",), "paragraph": ("context", "qas"), "question": ("id", "question")}
ANSWERS_FORM = '{"text": [...], "answer_start": [...]}'


def load_files(files: dict[str, str], needs_answers: Iterable[str] = ()):
    """Read the user's files, in the official schema or with one question per row.

    Args:
        files: split → `.json` (either form), `.jsonl` or `.csv` (`answers` as JSON in its cell).
        needs_answers: splits that are of no use without `answers`; elsewhere they may be missing from the whole file.

    Returns:
        Split → `datasets.Dataset`.

    Raises:
        DataError: naming file, question (or row) and field of the first thing that cannot be used.
    """
    return {split: _dataset(read_rows(path), path, split in needs_answers) for split, path in files.items()}


def load_hub(dataset: str, splits: Iterable[str], subset: str | None = None, needs_answers=(), **options):
    """Read `splits` from the Hub (see `HUB_DATASETS`), or from a folder that `datasets.load_dataset` understands.

    The rows are checked in a stream and stay where `datasets` keeps them. `options` go to `datasets.load_dataset`.
    """
    splits = list(splits)
    raw = load_splits(dataset, subset, splits, "Local data can be given as files.", **options)
    loaded = {}
    for split in splits:
        source = f"{dataset} ({split})"
        columns = _columns(raw[split].column_names, source, split in needs_answers)
        deque(_checked(_stream(raw[split]), source, "answers" in columns), maxlen=0)
        loaded[split] = raw[split].select_columns(columns)
    return loaded


def read_rows(path: str | os.PathLike) -> list[Row]:
    """The questions of a file as flat rows, unchecked; those of one paragraph share its text."""
    rows = read_table(path)
    return list(_flatten(rows, path)) if "paragraphs" in rows[0] else rows


def read_golds(path: str | os.PathLike) -> tuple[dict[str, list[str]], bool]:
    """What scoring needs of a file: question id → texts of its gold answers, and whether SQuAD 2.0 rules apply.

    They do where a question is marked `is_impossible`, true or false, or has no answer. Neither questions nor offsets
    are looked at: a file is scored as it is.
    """
    golds: dict[str, list[str]] = {}
    rows = read_rows(path)
    _require(rows[0], ("id", "answers"), path)
    for row in rows:
        place = f"{path}, {row[PLACE]}"
        golds[_new_id(row["id"], golds, place)] = answer_lists(row.get("answers"), place)["text"]
    return golds, not all(golds.values()) or any("is_impossible" in row for row in rows)


def read_predictions(path: str | os.PathLike, kind: type = str) -> dict:
    """A JSON object question id → answer text (`predictions.json`), or → number (`null_odds.json`, kind `float`)."""
    values = read_json(path)
    wanted, name = {str: (str, "a text"), float: (int | float, "a number")}[kind]
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds {str(values)[:60]!r}; it must be an object, question id → {name}.")
    if wrong := [key for key, value in values.items() if not isinstance(value, wanted) or isinstance(value, bool)]:
        raise DataError(f"{path}, question {wrong[0]!r}: is {str(values[wrong[0]])[:60]!r}; it must be {name}.")
    return values


def answer_lists(answers: object, place: str) -> dict[str, list]:
    """Gold answers in any of their spellings → {"text": [...], "answer_start": [...]}.

    Known are the official list of objects, the Hub's object of lists, and either as JSON or Python literal in a cell.
    """
    if isinstance(answers, str):
        answers = _parse_cell(answers, place)
    if isinstance(answers, list | tuple):
        if wrong := [each for each in answers if not isinstance(each, dict) or "text" not in each]:
            raise DataError(f"{place}: answers contains {wrong[0]!r}; each answer has a text and an answer_start.")
        answers = {key: [each.get(key) for each in answers] for key in ("text", "answer_start")}
    if not isinstance(answers, dict) or not isinstance(answers.get("text"), list | tuple):
        raise DataError(f"{place}: answers is {str(answers)[:80]!r}; it must be {ANSWERS_FORM}.")
    texts, starts = list(answers["text"]), list(answers.get("answer_start") or [None] * len(answers["text"]))
    if len(texts) != len(starts):
        raise DataError(f"{place}: answers has {len(texts)} text and {len(starts)} answer_start; they go in pairs.")
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise DataError(f"{place}: the answer text is {wrong[0]!r}; it must be text.")
    return {"text": texts, "answer_start": starts}


def _stream(dataset) -> Iterator[Row]:
    """The rows of a `datasets.Dataset`, read a thousand at a time."""
    for first in range(0, len(dataset), 1000):
        batch = dataset[first : first + 1000]
        for number, values in enumerate(zip(*batch.values(), strict=True), start=first + 1):
            yield {**dict(zip(batch, values, strict=True)), PLACE: f"row {number}"}


def _flatten(articles: Sequence[Row], path: str | os.PathLike) -> Iterator[Row]:
    """Articles → paragraphs → questions, as rows; each knows its question id as its place."""
    for number, article in enumerate(articles, start=1):
        for paragraph in _level(article, "article", f"{path}, article {number}", "paragraphs"):
            place = f"{path}, article {number} ({article.get('title', 'no title')})"
            for question in _level(paragraph, "paragraph", place, "qas"):
                _level(question, "question", place)
                row = {"title": article.get("title", ""), "context": paragraph["context"], **question}
                yield {**row, PLACE: f"question {question['id']!r}"}


def _level(value: object, kind: str, place: str, inner: str | None = None) -> list:
    """The list under `inner` of an object of the official schema, after checking that the object has all its fields."""
    if not isinstance(value, dict) or (missing := [name for name in SCHEMA[kind] if name not in value]):
        what = f"has no {missing[0]!r}" if isinstance(value, dict) else f"is {str(value)[:60]!r}"
        raise DataError(f"{place}: a {kind} {what}; it is an object with {', '.join(SCHEMA[kind])}.")
    if inner and not isinstance(value[inner], list):
        raise DataError(f"{place}: {inner} is {str(value[inner])[:60]!r}; it must be a list.")
    return value[inner] if inner else []


def _dataset(rows: Sequence[Row], source: str | os.PathLike, needs_answers: bool):
    """Check the rows of a file and turn them into a `datasets.Dataset`."""
    datasets = require("datasets", extra="train")
    columns = _columns(columns_of(rows), source, needs_answers)
    checked = list(_checked(rows, source, "answers" in columns))
    text, number = datasets.Value("string"), datasets.Value("int64")
    answers = {"text": datasets.List(text), "answer_start": datasets.List(number)}
    features = datasets.Features({name: answers if name == "answers" else text for name in columns})
    return datasets.Dataset.from_dict({name: [row[name] for row in checked] for name in columns}, features)


def _columns(present: Sequence[str], source: str | os.PathLike, needs_answers: bool) -> list[str]:
    """The columns to keep."""
    _require(present, (*REQUIRED, *(["answers"] if needs_answers else [])), source)
    return [name for name in ("id", "title", "context", "question", "answers") if name in present]


def _require(present: Iterable[str], wanted: Sequence[str], source: str | os.PathLike):
    if missing := [name for name in wanted if name not in present]:
        has = ", ".join(name for name in present if name != PLACE)
        raise DataError(f"{source}: there is no column {missing[0]!r}; it has {has}.")


def _checked(rows: Iterable[Row], source: str | os.PathLike, answered: bool) -> Iterator[Row]:
    """The rows in our form; raises at the first one that cannot be used."""
    seen: set[str] = set()
    for row in rows:
        place = f"{source}, {row[PLACE]}"
        name = _new_id(row["id"], seen, place)
        seen.add(name)
        if repr(name) not in place:
            place = f"{place} (question {name!r})"
        for field in ("context", "question"):
            check_text(row[field], f"{place}: {field}")
        if not row["question"].strip():
            raise DataError(f"{place}: question is empty; write one or delete the row.")
        row = {**row, "id": name, "title": str(row.get("title") or "")}
        if answered:
            row["answers"] = answer_lists(row.get("answers"), place)
            if row.get("is_impossible") is True and row["answers"]["text"]:
                raise DataError(f"{place}: is_impossible is true, but there are answers; one of them is wrong.")
            _check_answers(row["answers"], row["context"], place)
        yield row


def _check_answers(answers: dict[str, list], context: str, place: str):
    for text, start in zip(answers["text"], answers["answer_start"], strict=True):
        if not text.strip():
            raise DataError(f"{place}: an answer text is empty; unanswerable questions have no answers at all.")
        if not isinstance(start, int) or isinstance(start, bool) or start < 0:
            raise DataError(f"{place}: answer_start is {start!r}; it counts characters of the context, from 0.")
        if not context.startswith(text, start):
            there = context[start : start + len(text)]
            found = context.find(text)
            hint = f"it stands at {found}" if found >= 0 else "it does not occur there at all"
            raise DataError(
                f"{place}: answer_start is {start}, where the context has {there[:60]!r} and not the answer "
                f"{text[:60]!r}; {hint}."
            )


def _new_id(value: object, seen: Iterable[str], place: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise DataError(f"{place}: id is {value!r}; it must be text, different for each question.")
    if str(value) in seen:
        raise DataError(f"{place}: id {str(value)!r} occurs twice; ids must be different.")
    return str(value)


def _parse_cell(cell: str, place: str) -> object:
    for parse in (json.loads, ast.literal_eval):  # JSON, or what a list of Python values prints as
        try:
            return parse(cell)
        except (ValueError, SyntaxError):
            continue
    raise DataError(f"{place}: answers is {cell[:80]!r}; write it as JSON: {ANSWERS_FORM}.")

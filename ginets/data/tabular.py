"""Rows of local text files (TSV without quoting, CSV, JSON, JSON lines), with errors that name the file and line."""

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the place and what to do about it."""


Row = dict[str, object]
PLACE = "__place__"  # where a row came from, e.g. "line 3", 1-based; for messages


def read_tsv(
    path: str | os.PathLike, columns: Sequence[str] | None = None, skip_short_rows: bool = False
) -> tuple[list[Row], list[int]]:
    """Read a tab-separated file in which quotes mean nothing, as in the official GLUE download.

    Args:
        path: the file; a UTF-8 byte-order mark is ignored, text is kept as it is (also spaces at its end).
        columns: names of the columns of a file without a header; by default the first line names them.
        skip_short_rows: leave out rows with too few columns instead of refusing the file.

    Returns:
        The rows, and the numbers of the lines that were left out.

    Raises:
        DataError: the file is missing, empty, not UTF-8, or has a line with a wrong number of columns or two columns
            of one name.
    """
    # Only "\n" ends a line: texts contain other separators (U+0085, U+2028) that `splitlines` would cut at.
    lines = [line.removesuffix("\r") for line in _text(path).rstrip("\r\n").split("\n")]
    names = _distinct(list(columns) if columns else lines[0].split("\t"), path)
    first = 1 if columns else 2
    rows, skipped = [], []
    for number, line in enumerate(lines[first - 1 :], start=first):
        cells = line.split("\t")
        if len(cells) == len(names):
            rows.append({**dict(zip(names, cells, strict=True)), PLACE: f"line {number}"})
        elif skip_short_rows and len(cells) < len(names):
            skipped.append(number)
        else:
            raise DataError(
                f"{path}, line {number}: {len(cells)} tab-separated columns, but {len(names)} are expected "
                f"({', '.join(names)}); mend or delete the line."
            )
    return _not_empty(rows, path), skipped


def read_table(path: str | os.PathLike) -> list[Row]:
    """Read a `.csv` (comma, quoted, with a header), `.json` (a list of objects) or `.jsonl`/JSON-lines file.

    Raises:
        DataError: wrong ending, missing, empty or malformed file, rows with differing columns, two of one name.
    """
    ending = Path(path).suffix.lower()
    if ending not in READERS:
        raise DataError(f"{path}: files end in {', '.join(READERS)}, not {ending or 'nothing'!r}.")
    rows = _not_empty(READERS[ending](path, _text(path)), path)
    columns = set(rows[0])
    for row in rows:
        if set(row) != columns:
            differing = ", ".join(sorted(columns ^ set(row)))
            raise DataError(f"{path}, {row[PLACE]}: has other columns than the first row ({differing}).")
    return rows


def read_json(path: str | os.PathLike) -> object:
    """What a JSON file holds, whatever that is."""
    try:
        return json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error}).") from error


def read_lines(path: str | os.PathLike) -> list[str]:
    """The lines of a text file, empty ones too. Only line feeds end one (and a carriage return before them)."""
    return [line.removesuffix("\r") for line in _text(path).removesuffix("\n").split("\n")]


def check_text(value: object, place: str):
    """Refuse what is not text, or no valid Unicode; `place` begins the message and names the field."""
    if not isinstance(value, str):
        raise DataError(f"{place} is {value!r:.80}; it must be text.")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can spell
        raise DataError(f"{place} is not valid Unicode (character {error.start}).") from error


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Column names of the rows of one file, in the order of the file."""
    return [name for name in rows[0] if name != PLACE]


csv.field_size_limit(2**31 - 1)  # a cell may hold a document; the largest that every platform takes


def _csv(path: str | os.PathLike, text: str) -> list[Row]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        _distinct(reader.fieldnames or [], path)
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: not {len(reader.fieldnames)} comma-separated columns "
                    f"({', '.join(reader.fieldnames)}); quote cells that contain a comma."
                )
            rows.append({**row, PLACE: f"line {reader.line_num}"})
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not valid CSV ({error}).") from error
    return rows


def _json(path: str | os.PathLike, text: str) -> list[Row]:
    """A list of objects, an object with such a list under `data`, or one object per line."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        return _json_lines(path, text)
    rows = whole.get("data", [whole]) if isinstance(whole, dict) else whole
    if not isinstance(rows, list):
        place = "`data`" if isinstance(whole, dict) else "the file"
        raise DataError(f"{path}: {place} is {str(rows)[:60]!r}; it must be a list of JSON objects (column → value).")
    return [_json_row(path, row, f"row {number}") for number, row in enumerate(rows, start=1)]


def _json_lines(path: str | os.PathLike, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                rows.append(_json_row(path, json.loads(line), f"line {number}"))
            except json.JSONDecodeError as error:
                raise DataError(f"{path}, line {number}: not valid JSON ({error.msg}).") from error
    return rows


def _json_row(path: str | os.PathLike, row: object, place: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"{path}, {place}: a row is a JSON object (column → value), not {row!r}.")
    return {**row, PLACE: place}


def _distinct(names: list[str], path: str | os.PathLike) -> list[str]:
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise DataError(f"{path}: two columns are called {twice[0]!r}; rename or delete one.")
    return names


def _text(path: str | os.PathLike) -> str:
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); convert the file to UTF-8.") from error
    if not text.strip():
        raise DataError(f"{path}: the file is empty.")
    return text


def _not_empty(rows: list[Row], path: str | os.PathLike) -> list[Row]:
    if not rows:
        raise DataError(f"{path}: the file has no rows; give at least one example.")
    return rows


READERS = {".csv": _csv, ".json": _json, ".jsonl": _json_lines}

"""Rows of files one by one, each with its place, so that a bad one can be reported and left out."""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from ..extras import require
from .tabular import PLACE, DataError, read_lines, read_table


logger = logging.getLogger(__name__)

BAD_ROWS = ("refuse", "skip")
SHOWN = 5  # bad rows that an error names
Parsed = TypeVar("Parsed")
Record = tuple[str, object]  # place, and what stands there: any JSON value, or the DataError of one that is none


def read_records(path: str | os.PathLike) -> Iterator[Record]:
    """The rows of a `.json` (a list, or one row per line), `.jsonl`, `.parquet`, `.csv` or `.txt` file.

    Rows need not have the same columns. A line of `.txt` is a row with the column `text`. A row of JSON lines that is
    no JSON is given as a `DataError`; the rows behind it can still be read.

    Raises:
        DataError: the file cannot be read at all, or not further.
    """
    ending = Path(path).suffix.lower()
    if ending not in READERS:
        raise DataError(f"{path}: files end in {', '.join(READERS)}, not {ending or 'nothing'!r}.")
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file.")
    return READERS[ending](path)


def keep(
    records: Iterable[Record],
    parse: Callable[[object], Parsed],
    source: str | os.PathLike,
    bad_rows: str | None = None,
) -> list[Parsed]:
    """Parse each record. `parse` raises a `DataError` for a bad one, without its place.

    Args:
        source: of the records, for messages.
        bad_rows: `refuse` them all in one error, or `skip` them with one warning each. By default they are refused,
            and the error does not speak of skipping.

    Raises:
        DataError: there are bad rows and they are refused, or no good one.
    """
    if bad_rows not in (None, *BAD_ROWS):
        raise DataError(f"bad_rows is {bad_rows!r}; choose from {', '.join(BAD_ROWS)}.")
    good, bad = [], []
    for place, record in records:
        try:
            if isinstance(record, DataError):
                raise record
            good.append(parse(record))
        except DataError as error:
            bad.append(f"{place}: {error}")
    if bad and bad_rows != "skip":
        more = f" … and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        advice = "Mend or delete them, or skip them (bad_rows)." if bad_rows else "Mend or delete them."
        raise DataError(
            f"{source}: {len(bad)} of {len(good) + len(bad)} rows cannot be used: {' '.join(bad[:SHOWN])}{more} {advice}"
        )
    for message in bad:
        logger.warning("%s, %s Skipped.", source, message)
    if not good:
        raise DataError(f"{source}: there is no row that can be used.")
    return good


def check_object(record: object) -> dict:
    """A row that is a JSON object."""
    if not isinstance(record, dict):
        raise DataError(f"a row is a JSON object (column → value), not {str(record)[:60]!r}.")
    return record


def _json(path: str | os.PathLike) -> Iterator[Record]:
    """Element by element, so that each is found at its line; or JSON lines."""
    lines = read_lines(path)
    text = "\n".join(lines).removeprefix("\ufeff")
    at = _blank(text, 0)
    if text[at : at + 1] != "[":
        yield from _json_lines(path)
        return
    decoder, number, line, counted = json.JSONDecoder(), 0, 1, 0
    at = _blank(text, at + 1)
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        number += 1
        place = f"row {number} (line {line})"
        try:
            record, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, {place}: not valid JSON ({error.msg}).") from error
        yield place, record
        at = _blank(text, at)
        if text[at : at + 1] == ",":
            at = _blank(text, at + 1)
        elif text[at : at + 1] != "]":
            raise DataError(f"{path}, {place}: not valid JSON (neither a comma nor the end of the list follows).")
    if _blank(text, at + 1) < len(text):
        raise DataError(f"{path}: not valid JSON (something follows the list).")


def _blank(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at


def _json_lines(path: str | os.PathLike) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), start=1):
        line = line.removeprefix("\ufeff")
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except json.JSONDecodeError as error:
            yield f"line {number}", DataError(f"not valid JSON ({error.msg}).")


def _parquet(path: str | os.PathLike) -> Iterator[Record]:
    parquet = require("pyarrow.parquet", extra="train")
    pyarrow = require("pyarrow", extra="train")
    try:
        rows = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file ({str(error).splitlines()[0]}).") from error
    yield from numbered(rows)


def numbered(rows: Iterable[object]) -> Iterator[Record]:
    """Rows of a source without lines."""
    for number, row in enumerate(rows, start=1):
        yield f"row {number}", row


def _csv(path: str | os.PathLike) -> Iterator[Record]:
    for row in read_table(path):
        yield row.pop(PLACE), row


def _text(path: str | os.PathLike) -> Iterator[Record]:
    for number, line in enumerate(read_lines(path), start=1):
        yield f"line {number}", {"text": line}


READERS = {".json": _json, ".jsonl": _json_lines, ".parquet": _parquet, ".csv": _csv, ".txt": _text}

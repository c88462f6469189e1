"""Texts, or pairs of texts, to look at: one per line of a `.txt`, or rows of a table, or the questions of SQuAD."""

import os
from pathlib import Path

from .squad import read_rows
from .tabular import PLACE, DataError, check_text, columns_of, read_lines


Pair = tuple[str, str | None]
# columns of the first text and of the second, in the order in which models read them
COLUMNS = (("text", "text_pair"), ("question", "context"))


def read_texts(path: str | os.PathLike, limit: int | None = None) -> list[Pair]:
    """The texts of a file, at most `limit`; the second of a pair is None where there is none.

    Args:
        path: `.txt` with a text on each line that is not blank; `.csv`, `.json` or `.jsonl` with a column `text` and
            perhaps `text_pair`, or with `question` and `context`; SQuAD's official JSON.

    Raises:
        DataError: the file is missing, empty or malformed, or has no such columns.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; it must be at least 1.")
    if Path(path).suffix.lower() == ".txt":
        return [(line.strip(), None) for line in read_lines(path) if line.strip()][:limit]
    rows = read_rows(path)
    names = _columns(columns_of(rows), path)
    for row in rows:
        for name in names:
            check_text(row[name], f"{path}, {row[PLACE]}: {name}")
    return [tuple([row[name] for name in names] + [None])[:2] for row in rows[:limit]]


def _columns(there: list[str], path: str | os.PathLike) -> list[str]:
    """The columns to read, one or two."""
    for first, second in COLUMNS:
        if first in there and (second in there or first == "text"):
            return [first, second] if second in there else [first]
    raise DataError(
        f"{path}: has the columns {', '.join(there)}; texts are in text (and text_pair), or in question and context."
    )

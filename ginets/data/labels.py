"""Labels of local and Hub data: which rows have one, what it stands for, which classes there are."""

import os
import re
from collections.abc import Sequence

from .tabular import PLACE, DataError, Row, columns_of


WHOLE = re.compile(r"[+-]?\d+")


def is_labelled(rows: Sequence[Row]) -> bool:
    """Whether any row has a label; unlabelled test splits have no such column, or nothing or -1 in it."""
    return any(str(row.get("label", "")).strip() not in ("", "None", "-1", "-1.0") for row in rows)


def label_names(rows: Sequence[Row], source: str | os.PathLike) -> tuple[str, ...]:
    """Class names of labels without a task, in order (numbers by value); none if the labels are decimal numbers."""
    if "label" not in rows[0]:
        raise DataError(f"{source}: there is no column 'label'; it has {', '.join(columns_of(rows))}.")
    values = {_spelt(row["label"], f"{source}, {row[PLACE]}") for row in rows}
    if all(WHOLE.fullmatch(value) for value in values):
        names = sorted(values, key=int)
    elif all(map(_is_number, values)):
        return ()
    else:
        names = sorted(values)
    if len(names) < 2:
        raise DataError(f"{source}: every label is {names[0]!r}; a classifier needs at least two classes.")
    return tuple(names)


def label_value(value: object, ids: dict[str, int], place: str) -> int | float:
    """The class id (or, without `ids`, the score) that `value` stands for."""
    spelt = _spelt(value, place)
    if ids:
        if spelt not in ids:
            raise DataError(f"{place}: the label is {value!r}; labels of this task are {', '.join(ids)}.")
        return ids[spelt]
    try:
        score = float(spelt)
    except ValueError:
        score = float("nan")
    if not abs(score) < float("inf"):
        raise DataError(f"{place}: the score is {value!r}; this is a regression task, scores are finite numbers.")
    return score


def _spelt(value: object, place: str) -> str:
    """A label as text without spaces around it; refuses what is missing or no single value."""
    if not isinstance(value, str | int | float) or not str(value).strip():
        raise DataError(f"{place}: the label is {value!r}; it must be a word or a number.")
    return str(value).strip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

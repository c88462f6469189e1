"""Datasets from the Hub, or from a folder that `datasets` understands, with errors for people."""

from collections.abc import Iterable

from ..extras import require
from .tabular import DataError


def load_splits(dataset: str, subset: str | None, splits: Iterable[str], instead: str, **options):
    """What `datasets.load_dataset` gives, with all of `splits` in it; `options` go there (`cache_dir`, `token`).

    Args:
        instead: how local data can be given; the end of the message where nothing can be loaded.

    Raises:
        DataError: there is no connection, no such dataset or subset, or a split is missing.
    """
    datasets = require("datasets", extra="train")
    try:
        raw = datasets.load_dataset(dataset, subset, **options)
    except (OSError, ValueError) as error:
        named = f" ({subset})" if subset else ""
        reason = str(error).strip().split("\n")[0]
        raise DataError(f"the dataset {dataset!r}{named} cannot be loaded: {reason} {instead}") from error
    if missing := [split for split in splits if split not in raw]:
        raise DataError(f"{dataset!r} has no split {missing[0]!r}; it has {', '.join(raw)}.")
    return raw

"""`LABEL=PATH` arguments: several variants, each with one path or, one per seed, several."""

from collections.abc import Sequence
from pathlib import Path


def read_variants(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Label → paths, in the order given. A label that is written again adds a seed to its variant.

    Without a label the last part of the path is taken; then it has to differ from all others.

    Raises:
        ValueError: two variants would have one name without that being asked for, or a label or path is empty.
    """
    variants: dict[str, list[str]] = {}
    unlabelled: set[str] = set()
    for argument in arguments:
        label, path = _split(argument)
        named = label is not None
        label = Path(path).resolve().name if label is None else label
        if not label or not path:
            raise ValueError(f"{argument!r} has an empty label or path; write LABEL=PATH or PATH.")
        if label in variants and (not named or label in unlabelled):
            raise ValueError(
                f"two variants are called {label!r}; write LABEL=PATH, with the same label for seeds of one variant."
            )
        variants.setdefault(label, []).append(path)
        if not named:
            unlabelled.add(label)
    return variants


def _split(argument: str) -> tuple[str | None, str]:
    """A path that exists is never taken apart."""
    label, equals, path = argument.partition("=")
    return (label, path) if equals and not Path(argument).exists() else (None, argument)

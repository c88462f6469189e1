"""One text in several variants of a model: what is compared, on which scale, and the raw numbers as files."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .attention import Attention


COLUMNS = ("variant", "layer", "head", "from_position", "from_token", "to_position", "to_token", "weight")


@dataclass(frozen=True)
class Comparison:
    """The attention of several variants on the same tokens, all layers × variants on one scale.

    Attributes:
        variants: name → attention, all of one shape and with the same tokens.
        layers: numbers of the chosen layers; layers and heads count from 1.
        head: number of the chosen head; None for the mean of all.
        mask_special: whether special tokens are left out, of rows, columns and scale. What remains is not rescaled: a
            row then sums to less than one, the rest went to special tokens.
    """

    variants: Mapping[str, Attention]
    layers: tuple[int, ...]
    head: int | None = None
    mask_special: bool = False

    @property
    def first(self) -> Attention:
        return next(iter(self.variants.values()))

    @cached_property
    def kept(self) -> np.ndarray:
        """Positions of the tokens that are shown."""
        return np.flatnonzero(~self.first.special if self.mask_special else np.ones_like(self.first.special))

    @property
    def tokens(self) -> list[str]:
        """Labels of the tokens that are shown."""
        return [self.first.tokens[at] for at in self.kept]

    @cached_property
    def values(self) -> np.ndarray:
        """`(variants, layers, tokens, tokens)`: of the chosen head, or the mean of all."""
        return np.stack([self.of_layers(attention) for attention in self.variants.values()])

    def of_layers(self, attention: Attention) -> np.ndarray:
        """`(layers, tokens, tokens)` of one variant."""
        chosen = attention.weights[np.array(self.layers) - 1]
        heads = chosen.mean(axis=1) if self.head is None else chosen[:, self.head - 1]
        return heads[:, self.kept[:, None], self.kept]

    @property
    def scale(self) -> float:
        """The weight at the upper end of the one colour scale; the lower end is 0."""
        return float(self.values.max())

    @property
    def heads_text(self) -> str:
        """What of the heads is shown, for titles."""
        count = self.first.weights.shape[1]
        return f"mean of {count} heads" if self.head is None else f"head {self.head} of {count}"

    def layer_text(self, layer: int) -> str:
        return f"layer {layer} of {self.first.weights.shape[0]}"


def compare(
    variants: Mapping[str, Attention],
    layers: Sequence[int] | None = None,
    head: int | None = None,
    mask_special: bool = False,
) -> Comparison:
    """Put the attention of several variants side by side.

    Args:
        variants: name → what `capture` returns for the same text.
        layers: from 1, or from -1 backwards; by default all.
        head: from 1; by default the mean of all heads.

    Raises:
        ValueError: the variants differ in tokens, layers or heads, or a number is out of range.
    """
    (name, first), *others = variants.items()
    for other, attention in others:
        if attention.tokens != first.tokens:
            raise ValueError(f"{other} and {name} split the text differently; variants on a sheet share their tokens.")
        if attention.weights.shape != first.weights.shape:
            sizes = [f"{each} has {weights.shape[0]} layers of {weights.shape[1]} heads" for each, weights in (
                (name, first.weights), (other, attention.weights)
            )]  # fmt: skip
            raise ValueError(f"{sizes[0]}, {sizes[1]}; variants on a sheet have the same.")
    if mask_special and first.special.all():
        raise ValueError("all tokens are special; without them there is nothing to show.")
    count, heads = first.weights.shape[:2]
    return Comparison(dict(variants), choose_layers(layers, count), choose_head(head, heads), mask_special)


def choose_layers(layers: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """Layer numbers from 1 to `count`, each once and in order, of numbers that may also count from the end."""
    if layers is None:
        return tuple(range(1, count + 1))
    for layer in layers:
        if not 1 <= abs(layer) <= count:
            raise ValueError(f"layers contains {layer}; it must be 1 to {count}, or -1 to -{count} from the end.")
    return tuple(sorted({layer if layer > 0 else count + 1 + layer for layer in layers}))


def choose_head(head: int | None, count: int) -> int | None:
    if head is not None and not 1 <= head <= count:
        raise ValueError(f"head is {head}; it must be 1 to {count}.")
    return head


def write_arrays(comparison: Comparison, path: str | os.PathLike) -> None:
    """All heads of the chosen layers as `.npz` without pickles: `np.load(path, allow_pickle=False)`.

    Arrays: `weights` (variants, layers, heads, T, T) with the special tokens, `variants`, `layers`, `tokens`,
    `special`, `offsets`, `text_ids`.
    """
    first, layers = comparison.first, np.array(comparison.layers)
    np.savez_compressed(
        path,
        weights=np.stack([attention.weights[layers - 1] for attention in comparison.variants.values()]),
        variants=np.array(list(comparison.variants), dtype=np.str_),
        layers=layers,
        tokens=np.array(first.tokens, dtype=np.str_),
        special=first.special,
        offsets=first.offsets,
        text_ids=first.text_ids,
    )


def write_rows(comparison: Comparison, path: str | os.PathLike) -> None:
    """What the pictures show as a tidy `.csv`, one weight a row (`COLUMNS`); positions count from 0, as in the arrays."""
    tokens, kept = comparison.tokens, comparison.kept.tolist()
    head = "mean" if comparison.head is None else comparison.head
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for variant, layers in zip(comparison.variants, comparison.values, strict=True):
            for layer, matrix in zip(comparison.layers, layers, strict=True):
                for at, label, row in zip(kept, tokens, matrix.tolist(), strict=True):
                    cells = zip(kept, tokens, row, strict=True)
                    writer.writerows((variant, layer, head, at, label, to, goal, f"{w:.6g}") for to, goal, w in cells)

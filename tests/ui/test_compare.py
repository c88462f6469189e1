"""What the compare tab says and draws, without a browser."""

import asyncio
import re
from dataclasses import replace

import numpy as np
import pytest

from ginets.ui import pictures
from ginets.ui.compare import MEAN, Pair, head_number, look_twice, partner, shown
from ginets.ui.source import Look, Refused
from ginets.viz.comparison import compare
from tests.viz.attentions import SHAPE, TOKENS, made_up


SIDES = {"a": made_up(1), "<b>": made_up(2)}
LAYERS, HEADS = SHAPE[:2]


def pair(**changes) -> Pair:
    looks = tuple(Look({"text": " <i>"}, each, all_heads=True) for each in SIDES.values())
    return replace(Pair(tuple(SIDES), ("CausalLM", "CausalLM"), looks, "x", None), **changes)


@pytest.mark.parametrize("head", [None, 2])
def test_the_difference_is_second_less_first(head):
    first, second = (each.weights[1].mean(0) if head is None else each.weights[1, head - 1] for each in SIDES.values())
    wanted = second - first
    both = compare(SIDES, [2], head)
    np.testing.assert_allclose(pictures.difference(both, 2), wanted, atol=1e-7)
    row, column = divmod(int(np.abs(wanted).argmax()), len(TOKENS))
    words = pictures.largest(both, 2)
    assert f"from “{TOKENS[row]}” to “{TOKENS[column]}”" in words and f"{wanted[row, column]:+.3f}" in words
    assert pictures.largest(compare({"a": made_up(1), "b": made_up(1)}, [2]), 2) == "Both are the same in this layer."


@pytest.mark.parametrize("background", ["light", "dark"])
def test_the_drawn_values(background):
    both = compare(SIDES, [1], None, mask_special=True)
    axes, bar = pictures.draw_difference(both, 1, background).axes
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), pictures.difference(both, 1), atol=1e-7)
    assert image.norm.vmin == -image.norm.vmax == -np.abs(image.get_array()).max()
    assert [label.get_text() for label in axes.get_yticklabels()] == both.tokens
    assert bar.get_ylabel() == "difference of weights"


def test_both_sides_and_nothing_breaks_out():
    page = shown(pair(), LAYERS, None)
    assert page.count("<img") == 6  # two sides and their difference, light and dark
    assert page.count("<section>") == 2 and "&lt;b&gt;" in page and "<b>" not in page and "<i>" not in page
    assert re.search(rf'alt="Attention of a, layer {LAYERS} of {LAYERS}, mean of {HEADS} heads"', page)


def test_what_does_not_fit_is_drawn_apart():
    short = replace(SIDES["<b>"], tokens=("other", *TOKENS[1:]))
    looks = (pair().looks[0], replace(pair().looks[1], attention=short))
    page = shown(pair(looks=looks), 1, None)
    assert "No difference is drawn: " in page and page.count("<img") == 4


def test_heads_of_a_server():
    looks = tuple(replace(look, all_heads=False) for look in pair().looks)
    assert head_number(pair(looks=looks), MEAN) is None is head_number(pair(), MEAN)
    assert head_number(pair(), "3") == 3


def test_same_sides_and_missing_passages(local):
    def look(first, second, levels=(None, None), passage=""):
        return asyncio.run(look_twice(local, (first, second), levels, "a good film", passage))

    with pytest.raises(Refused, match="Both sides are the same"):
        look("cls", "cls", (0.3, None))  # 0.3 is its own
    with pytest.raises(Refused, match="write a passage"):
        look("cls", "qa")
    found = look("cls", "cls", (0.3, 0.0))
    assert found.names == ("cls, p = 0.3", "cls, p = 0")
    assert np.abs(found.looks[0].attention.weights - found.looks[1].attention.weights).max() > 1e-3
    names = list(local.heads)
    assert partner(local, names) == "ina" and partner(local, ["qa", "gpt"]) == "qa" and partner(local, ["gpt", "qa"]) == "qa"  # fmt: skip

"""Pictures of attention: every panel shows its numbers, on one scale; files say what was shown; what is refused."""

import csv
import re
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from ginets.viz.comparison import choose_layers, compare, write_arrays, write_rows
from ginets.viz.heatmap import LABELLED, draw_layer, draw_sheet, file_names, write_pictures
from tests.viz.attentions import SHAPE, TOKENS, made_up


VARIANTS = {"stock": made_up(1), "InA 30 %": made_up(2), "$p$": made_up(3)}
WORDS = [at for at, token in enumerate(TOKENS) if not token.startswith("[")]


def test_numbers():
    """Mean or one head, chosen layers, without special tokens; the scale ends at the highest weight shown."""
    both = compare(VARIANTS)
    assert both.layers == (1, 2, 3) and both.tokens == list(TOKENS)
    expected = np.stack([attention.weights.mean(1) for attention in VARIANTS.values()])
    np.testing.assert_allclose(both.values, expected)
    assert both.scale == pytest.approx(expected.max())
    one = compare(VARIANTS, layers=[-1, 1, 3], head=2, mask_special=True)
    assert one.layers == (1, 3) and one.tokens == [TOKENS[at] for at in WORDS]
    expected = np.stack([attention.weights[[0, 2], 1][:, WORDS][..., WORDS] for attention in VARIANTS.values()])
    np.testing.assert_array_equal(one.values, expected)
    assert one.scale == expected.max() and one.values.sum(-1).max() <= 1  # not rescaled


def panels(figure) -> list:
    return [axes for axes in figure.axes if axes.images and axes.get_title()]


@pytest.mark.parametrize("background", ["light", "dark"])
def test_sheet(background):
    comparison = compare(VARIANTS, mask_special=True)
    figure = draw_sheet(comparison, background)
    titles = [f"{variant}\nlayer {layer} of 3" for layer in (1, 2, 3) for variant in VARIANTS]
    assert [axes.get_title() for axes in panels(figure)] == titles
    drawn = np.array([axes.images[0].get_array() for axes in panels(figure)])
    np.testing.assert_array_equal(drawn.reshape(3, 3, 5, 5).swapaxes(0, 1), comparison.values)
    assert {axes.images[0].norm.vmax for axes in panels(figure)} == {comparison.scale}
    assert {axes.images[0].norm.vmin for axes in panels(figure)} == {0}
    texts = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "Attention by layer (down) and variant (across), mean of 4 heads" in texts
    assert "attention weight, by its square root, one scale for all layers and variants" in texts
    assert "Special tokens are left out, weights are not rescaled" in texts
    first, last = panels(figure)[0], panels(figure)[-1]
    assert [label.get_text() for label in first.get_yticklabels()] == comparison.tokens
    assert [label.get_text() for label in last.get_xticklabels()] == comparison.tokens
    assert not panels(figure)[1].get_yticklabels() and not first.get_xticklabels()


def test_layer():
    comparison = compare(VARIANTS, layers=[2, 3], head=4)
    figure = draw_layer(comparison, "InA 30 %", 3, scale="linear")
    (axes,) = (axes for axes in figure.axes if axes.get_xlabel() == "to (key)")
    assert axes.get_ylabel() == "from (query)"
    np.testing.assert_array_equal(axes.images[0].get_array(), VARIANTS["InA 30 %"].weights[2, 3])
    assert axes.images[0].norm.vmax == comparison.scale  # of all layers and variants
    texts = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert texts.startswith("InA 30 %: attention in layer 3 of 3, head 4 of 4") and "square root" not in texts


def boxes(figure) -> list:
    """Where the labels of the tokens are, along each axis, and the other texts."""
    figure.draw_without_rendering()
    groups = [figure.texts + [axes.title for axes in figure.axes if axes.get_title()]]
    for axes in figure.axes:
        groups += [axes.get_yticklabels(), axes.get_xticklabels()]
    return [[text.get_window_extent() for text in group if text.get_text()] for group in groups]


@pytest.mark.parametrize("count", [3, LABELLED, LABELLED + 1])
@pytest.mark.parametrize("draw", [draw_sheet, lambda comparison: draw_layer(comparison, "a rather long name", 1)])
def test_labels_do_not_overlap(count, draw):
    tokens = tuple(f"a very long token {at}" if at % 7 == 3 else f"word{at}" for at in range(count))
    attention = made_up(0, tokens, (2, 2))
    figure = draw(compare({"a rather long name": attention, "another name that is quite long as well": attention}))
    whole = figure.bbox
    for group in boxes(figure):
        for at, box in enumerate(group):
            assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1
            assert not any(box.overlaps(other) for other in group[at + 1 :])
    labels = next(axes for axes in figure.axes if axes.get_xlabel() == "to (key)").get_xticklabels()
    assert len(labels) == (count if count <= LABELLED else -(-count // -(-count // LABELLED)))
    assert min(label.get_fontsize() for label in labels) >= 7


def test_files(tmp_path):
    comparison = compare({"InA 30 %": made_up(1), "$p$": made_up(2)}, layers=[3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = write_pictures(comparison, tmp_path, ["png", "svg"], "dark")
    names = ["sheet", "layer-03-InA_30", "layer-03-p"]
    assert [file.name for file in files] == [f"{name}.{ending}" for name in names for ending in ("png", "svg")]
    for file in files[::2]:
        pixels = imread(file)
        np.testing.assert_allclose(pixels[0, 0, :3], np.array([0x16, 0x18, 0x1D]) / 255, atol=1e-6)
    svg = files[1].read_text(encoding="utf-8")
    assert "&lt;/script&gt;" in svg and "$red$" in svg and "InA 30 %" in svg  # text, not paths or formulas
    assert "<script" not in svg and not re.search(r'(?:href|src)="http', svg)
    again = write_pictures(comparison, tmp_path / "again", ["svg"], "dark")
    assert again[0].read_bytes() == files[1].read_bytes()


def test_names_of_files():
    names = file_names(["a/b", "a b", "A_B", "../..", "%", "ü-0.3", "a_b_2"])
    assert list(names.values()) == ["a_b", "a_b_2", "A_B_3", "variant", "variant_2", "ü-0.3", "a_b_2_2"]


def test_arrays_and_rows(tmp_path):
    comparison = compare(VARIANTS, layers=[1, 3], head=2, mask_special=True)
    write_arrays(comparison, tmp_path / "attention.npz")
    with np.load(tmp_path / "attention.npz", allow_pickle=False) as arrays:
        assert arrays["variants"].tolist() == list(VARIANTS) and arrays["tokens"].tolist() == list(TOKENS)
        assert arrays["layers"].tolist() == [1, 3] and arrays["weights"].dtype == np.float32
        assert arrays["special"].tolist() == VARIANTS["stock"].special.tolist()
        np.testing.assert_array_equal(arrays["weights"], [each.weights[[0, 2]] for each in VARIANTS.values()])
        np.testing.assert_array_equal(arrays["offsets"], VARIANTS["stock"].offsets)
        np.testing.assert_array_equal(arrays["text_ids"], VARIANTS["stock"].text_ids)
    write_rows(comparison, tmp_path / "attention.csv")
    with open(tmp_path / "attention.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 5 * 5
    for row in rows:
        at, to = int(row["from_position"]), int(row["to_position"])
        assert (row["from_token"], row["to_token"], row["head"]) == (TOKENS[at], TOKENS[to], "2")
        weight = VARIANTS[row["variant"]].weights[int(row["layer"]) - 1, 1, at, to]
        assert float(row["weight"]) == pytest.approx(weight, rel=1e-5)
    write_rows(compare(VARIANTS), tmp_path / "mean.csv")
    assert (
        (tmp_path / "mean.csv").read_text(encoding="utf-8").splitlines()[1].startswith("stock,1,mean,0,[CLS],0,[CLS],")
    )


@pytest.mark.parametrize("given,message", [
    ({"layers": [4]}, "layers contains 4; it must be 1 to 3, or -1 to -3"),
    ({"layers": [0]}, "layers contains 0"),
    ({"layers": [-4]}, "layers contains -4"),
    ({"head": 5}, "head is 5; it must be 1 to 4"),
    ({"head": 0}, "head is 0"),
])  # fmt: skip
def test_what_is_out_of_range_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        compare(VARIANTS, **given)


def test_variants_that_do_not_go_together_are_refused(tmp_path):
    with pytest.raises(ValueError, match="b and a split the text differently"):
        compare({"a": made_up(), "b": made_up(tokens=("[CLS]", "my", "[SEP]"))})
    with pytest.raises(ValueError, match="a has 3 layers of 4 heads, b has 3 layers of 2 heads"):
        compare({"a": made_up(), "b": made_up(shape=(3, 2))})
    with pytest.raises(ValueError, match="all tokens are special"):
        compare({"a": made_up(tokens=("[CLS]", "[SEP]"))}, mask_special=True)
    for given, message in (
        ({"formats": ["gif"]}, "format is 'gif'"),
        ({"background": "red"}, "background is 'red'"),
        ({"scale": "log"}, "scale is 'log'"),
    ):
        with pytest.raises(ValueError, match=message):
            write_pictures(compare(VARIANTS), tmp_path, **given)
    assert choose_layers([1, -SHAPE[0]], SHAPE[0]) == (1,) and not list(tmp_path.iterdir())

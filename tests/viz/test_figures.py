"""Figures: colours of the background, the same bytes twice, one file per format, the caller's settings left alone."""

import matplotlib
import pytest
from matplotlib.colors import to_rgb

from ginets.viz.figures import BACKGROUNDS, colour, new_figure, save


def luminance(name: str) -> float:
    """Relative luminance as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(name)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_colours_of_a_background(background, tmp_path):
    """Also of ticks that come into being only when the figure is saved."""
    before = dict(matplotlib.rcParams)
    with new_figure((2, 2), background) as figure:
        axes = figure.subplots()
        axes.set_title("title")
    axes.set_xlim(0, 1e6)
    save(figure, tmp_path / "a.b", ("png", "svg"))
    paper, ink, _, series = BACKGROUNDS[background]
    assert to_rgb(figure.get_facecolor()[:3]) == to_rgb(axes.get_facecolor()[:3]) == to_rgb(paper)
    texts = [axes.title, *axes.get_xticklabels()]
    assert all(to_rgb(text.get_color()) == to_rgb(ink) for text in texts) and len(texts) > 3
    assert contrast(paper, ink) > 12 and min(contrast(paper, each) for each in series[:4]) > 2.7
    assert dict(matplotlib.rcParams) == before
    assert (tmp_path / "a.b.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "a.b.svg").read_bytes()
    save(figure, tmp_path / "a.b", ("svg",))
    assert ((tmp_path / "a.b.svg").read_bytes() == first and paper.encode() in first) or paper == "white"


def test_series_repeat_their_colours():
    count = len(BACKGROUNDS["light"][-1])
    assert len({colour(number) for number in range(count)}) == count and colour(count) == colour(0)


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match="background is 'pink'; it can be light, dark"), new_figure((1, 1), "pink"):
        pass
    with new_figure((1, 1)) as figure, pytest.raises(ValueError, match="format is 'bmp'; it can be png, svg"):
        save(figure, tmp_path / "a", ["bmp"])

"""The page, driven in a real browser without a display: what is drawn is what the models did."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from ginets.viz import heatmap_page
from ginets.viz.comparison import compare
from ginets.viz.heatmap_page import colours, quantised, write_page
from tests.viz.attentions import SHAPE, TOKENS, made_up


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
VARIANTS = {"stock": made_up(1), "<img src=x onerror=fail()> & co": made_up(2)}
NAMES = list(VARIANTS)
WORDS = [at for at, token in enumerate(TOKENS) if not token.startswith("[")]

# A person at the page: after each step it notes the heading, the readings of all cells under the pointer, the colours.
DRIVER = """
<pre id="results"></pre>
<script>
const problems = [];
addEventListener("error", (event) => problems.push(event.message));
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => problems.push(`blocked: ${event.blockedURI}`));
const find = (name) => document.getElementById(name);
const press = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const pick = (name, value) => { find(name).value = value; find(name).dispatchEvent(new Event("change")); };
const point = (x, y) => find("map").dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y }));

function look() {
  const { kept, cell, room } = drawn, canvas = find("map"), dots = canvas.width / parseFloat(canvas.style.width);
  const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const pixels = kept.map((_, row) => kept.map((_, column) => {
    const [x, y] = [room + (column + .5) * cell, 4 + (row + .5) * cell].map((place) => Math.floor(place * dots));
    return [...all.slice(4 * (y * canvas.width + x), 4 * (y * canvas.width + x) + 4)];
  }));
  const readings = kept.map((_, row) => kept.map((_, column) => {
    const box = canvas.getBoundingClientRect();
    point(box.left + room + (column + .5) * cell, box.top + 4 + (row + .5) * cell);
    return find("readout").textContent;
  }));
  find("map").dispatchEvent(new PointerEvent("pointerleave"));
  return {
    heading: find("title").textContent, most: Number(find("most").textContent), pixels, readings,
    paper: getComputedStyle(document.body).backgroundColor, rest: find("readout").textContent,
  };
}

async function drive(steps) {
  while (!drawn) await new Promise((done) => setTimeout(done, 20));
  const seen = steps.map(([name, ...given]) => { ({ press, pick, wait: () => {} })[name](...given); return look(); });
  const texts = (name) => [...find(name).options].map((option) => option.text);
  const results = { seen, problems, variants: texts("variant"), layers: texts("layer"), heads: texts("head") };
  find("results").textContent = JSON.stringify(results);
}
drive(STEPS);
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium or Chrome to open the page in")
    return found


def drive(browser: str, page, steps: list) -> dict:
    """What a person sees after each step."""
    driver = DRIVER.replace("STEPS", json.dumps(steps))
    driven = page.with_name("driven.html")
    driven.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{driver}</body>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--window-size=900,900"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser, *flags, profile, "--dump-dom", driven.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    return json.loads(html.unescape(re.search(r'<pre id="results">(.*?)</pre>', dom, re.DOTALL)[1]))


def check(seen: dict, variant: int, layer: int, head: int | None, hidden: bool = False, comparison=None) -> None:
    """The heading, every reading and every colour against the arrays; layer and head from 1."""
    comparison = comparison or compare(VARIANTS, head=head, mask_special=hidden)
    mean = head is None
    heads = f"mean of {SHAPE[1]} heads" if mean else f"head {head} of {SHAPE[1]}"
    assert seen["heading"] == f"Attention of {NAMES[variant]}: layer {layer} of {SHAPE[0]}, {heads}"
    kept = WORDS if hidden else list(range(len(TOKENS)))
    every = np.stack([each.weights.mean(1, keepdims=True) if mean else each.weights for each in VARIANTS.values()])
    every = every[:, :, :, kept][..., kept]  # variants, layers, heads (one if it is their mean), tokens, tokens
    wanted = every[variant, layer - 1, 0 if mean else head - 1]
    assert seen["most"] == pytest.approx(every.max(), abs=0.0045)
    palette = {tuple(bytes.fromhex(colour[1:])): number for number, colour in enumerate(colours())}
    for row, at in enumerate(kept):
        for column, to in enumerate(kept):
            start, weight = seen["readings"][row][column].rsplit(": ", 1)
            assert start == f"from “{TOKENS[at]}” ({at}) to “{TOKENS[to]}” ({to})"
            assert float(weight) == pytest.approx(wanted[row, column], abs=0.0045)  # rounded twice
            red, green, blue, opaque = seen["pixels"][row][column]
            expected = min(255, int(256 * (wanted[row, column] / every.max()) ** 0.5))
            assert opaque == 255 and abs(palette[red, green, blue] - expected) <= 3


def test_keys_and_menus_show_what_they_say(browser, tmp_path):
    write_page(compare(VARIANTS), tmp_path / "attention.html")
    steps = [
        ["wait"], ["press", "ArrowRight"], ["press", "ArrowDown"], ["press", "]"], ["pick", "head", "4"],
        ["pick", "variant", "0"], ["pick", "layer", "2"], ["press", "ArrowDown"], ["press", "["], ["press", "s"],
        ["press", "m"], ["press", "ArrowLeft"], ["press", "ArrowUp"], ["press", "t"],
    ]  # fmt: skip
    result = drive(browser, tmp_path / "attention.html", steps)
    assert result["problems"] == []
    assert result["variants"] == NAMES
    assert result["layers"] == ["1 of 3", "2 of 3", "3 of 3"]
    assert result["heads"] == ["mean of 4 heads", *(f"head {head} of 4" for head in range(1, 5))]
    views = [
        (0, 1, None), (1, 1, None), (1, 2, None), (1, 2, 1), (1, 2, 4),
        (0, 2, 4), (0, 3, 4), (0, 1, 4), (0, 1, 3), (0, 1, 3, True),
        (0, 1, None, True), (1, 1, None, True), (1, 3, None, True), (1, 3, None, True),
    ]  # fmt: skip
    for seen, view in zip(result["seen"], views, strict=True):
        check(seen, *view)
        assert seen["rest"] == "Point at a cell to read its weight."
    papers = [seen["paper"] for seen in result["seen"]]
    assert papers[:-1] == ["rgb(255, 255, 255)"] * (len(steps) - 1) and papers[-1] == "rgb(20, 23, 28)"


def test_opens_at_the_chosen_view(browser, tmp_path):
    """With layers left out; numbers are those of the model, not places in the list."""
    write_page(compare(VARIANTS, [-1, 2], head=3, mask_special=True), tmp_path / "attention.html")
    result = drive(browser, tmp_path / "attention.html", [["wait"], ["press", "ArrowDown"]])
    assert result["layers"] == ["2 of 3", "3 of 3"]
    headings = [seen["heading"] for seen in result["seen"]]
    assert headings == [f"Attention of stock: layer {layer} of 3, head 3 of 4" for layer in (2, 3)]
    assert len(result["seen"][0]["pixels"]) == len(WORDS)


def test_too_many_weights_leave_the_mean(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(heatmap_page, "MOST_WEIGHTS", 100)
    write_page(compare(VARIANTS, head=2), tmp_path / "attention.html")
    result = drive(browser, tmp_path / "attention.html", [["wait"], ["press", "]"], ["press", "ArrowDown"]])
    assert result["problems"] == [] and result["heads"] == ["mean of 4 heads"]
    check(result["seen"][1], 0, 1, None)
    check(result["seen"][2], 0, 2, None)


def test_no_network_and_nothing_breaks_out(tmp_path):
    write_page(compare(VARIANTS), tmp_path / "attention.html")
    page = (tmp_path / "attention.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2 and "<img" not in page
    around, content, rest = re.split(r'(?<=id="content">)(.*?)(?=</script>)', page)
    assert "default-src 'none'" in around and not re.search(r"https?://|@import|\bsrc=|\bhref=", around + rest)
    content = json.loads(content)
    assert content["tokens"] == list(TOKENS) and content["variants"] == NAMES


def test_bytes_lose_little():
    weights = np.linspace(0, 1, 100_001)
    back = (quantised(weights) / 255) ** 2
    assert np.abs(back - weights).max() < 0.004 and np.abs(back - weights)[weights < 0.01].max() < 0.0004
    with pytest.raises(ValueError, match="scale is 'log'"):
        write_page(compare(VARIANTS), "nowhere", "log")

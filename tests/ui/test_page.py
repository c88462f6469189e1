"""The page in a real browser without a display: what a person types, sees, and is told when it does not work."""

import re
import urllib.error
import urllib.request

import pytest

from ginets.ui.page import opened
from tests.recipes.glue_fixtures import make_model, make_sst2
from tests.serve.models import alone


PASSAGE = "a film was very good it was a great film " * 40  # longer than the model: read in windows
WAIT = 60_000  # milliseconds; a busy machine draws slowly


@pytest.fixture(scope="module")
def url(zoo):
    with opened([f"{name}={zoo[name]}" for name in ("cls", "ina", "qa", "gpt")], port=0) as url:
        yield url


@pytest.fixture
def visit(browser, url):
    """Opens pages; at the end nothing was fetched from elsewhere, and no page scrolls sideways or has failed."""
    contexts, pages, foreign, problems = [], [], [], []

    def visit(tab: str | None = None, at: str = url, **options):
        options = {"viewport": {"width": 1000, "height": 900}} | options
        contexts.append(context := browser.new_context(**options))
        pages.append(page := context.new_page())
        page.set_default_timeout(WAIT)
        page.on("request", lambda request: None if request.url.startswith((at, "data:", "blob:")) else foreign.append(request.url))  # fmt: skip
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(at)
        page.get_by_role("tab", name="Classify").wait_for()
        if tab:
            open_tab(page, tab)
        return page

    yield visit
    sideways = [page.url for page in pages if page.evaluate("document.documentElement.scrollWidth > innerWidth")]
    for context in contexts:
        context.close()
    assert (foreign, problems, sideways) == ([], [], [])


def open_tab(page, name: str) -> None:
    """On a narrow page the last ones are behind a button."""
    if page.viewport_size["width"] < 500 and name in ("Compare", "Training"):
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown button", has_text=name).click()
    else:
        page.get_by_role("tab", name=name).click()


def said(page, selector: str = ".answer .lead"):
    """The visible piece of an answer."""
    found = page.locator(f"{selector}:visible").first
    found.wait_for()
    return found.inner_text()


def test_classify(zoo, visit):
    page = visit()
    page.get_by_label("Text", exact=True).fill("a good <b>film</b>")
    page.get_by_role("button", name="Classify").click()
    shares = alone(zoo["cls"], None, "a good <b>film</b>").softmax(-1)
    label = ("bad", "good", "neither")[int(shares.argmax())]
    assert said(page) == f"{label} ({shares.max():.1%})"
    page.get_by_label("Text", exact=True).fill("a film " * 200)
    page.get_by_role("button", name="Classify").click()
    assert "at most 32 are taken" in said(page, "[role=alert]")
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Cut texts that are too long").check()
    page.get_by_role("button", name="Classify").click()
    said(page)
    assert page.locator("[role=alert]:visible").count() == 0
    page.get_by_label("Text", exact=True).fill("")
    page.get_by_role("button", name="Classify").click()
    assert said(page, "[role=alert]") == "Please write a text first."


def test_ask_by_keyboard_and_examples(visit):
    page = visit("Ask")
    page.get_by_role("button", name="Example: Who was the last keeper?").focus()
    page.keyboard.press("Enter")
    question = page.get_by_label("Question")
    while question.input_value() != "Who was the last keeper?":
        page.wait_for_timeout(50)
    page.get_by_label("Passage").fill(PASSAGE)
    question.focus()
    page.keyboard.press("Enter")
    lead = said(page)
    assert re.fullmatch(r".+ \(\d+\.\d%\)", lead, re.DOTALL)
    assert page.locator(".passage:visible").inner_text().strip() == PASSAGE.strip()
    assert lead.startswith(page.locator(".passage mark").inner_text())
    question.fill(" ")
    question.press("Enter")
    assert said(page, "[role=alert]") == "Please write a question first."


def test_all_tabs_by_keyboard(visit):
    page = visit()
    page.get_by_role("tab", name="Classify").focus()
    for name in ("Ask", "Chat", "Compare", "Training"):
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.locator(f"[role=tab][aria-selected=true]:text-is('{name}')").wait_for()


def test_chat_streams(visit):
    page = visit("Chat")
    page.evaluate("""() => { window.seen = new Set(); new MutationObserver(() => {
        const bots = document.querySelectorAll('[data-testid=bot]');
        if (bots.length) seen.add(bots[bots.length - 1].innerText); })
        .observe(document.body, {subtree: true, childList: true, characterData: true}); }""")
    page.get_by_role("button", name="Settings").last.click()
    for name, value in (("Temperature", "0"), ("Longest answer", "200")):  # greedy: a draw may end it at once
        page.locator(f"input[aria-label^='number input for {name}']:visible").fill(value)
        page.keyboard.press("Tab")
    page.get_by_label("Message", exact=True).fill("c d e")
    page.get_by_label("Message", exact=True).press("Enter")
    page.locator("[data-testid=bot]").first.wait_for()
    page.wait_for_function("() => seen.size > 2")
    assert page.locator("[data-testid=user]").inner_text().strip() == "c d e"
    for stopped in (False, True):
        if stopped:
            page.get_by_label("Message", exact=True).fill("c d e")
            page.get_by_label("Message", exact=True).press("Enter")
            page.locator("[data-testid=bot]").first.wait_for()
            page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="New conversation").click()
        page.locator("[data-testid=user]").wait_for(state="detached")
    page.get_by_label("Message", exact=True).fill("c d e " * 100)
    page.get_by_role("button", name="Send").click()
    assert "tokens" in said(page, "[role=alert]")


def test_visitors_do_not_clear_each_other(visit):
    """What was begun in one page is still there when another begins a new conversation."""
    pages = visit("Chat"), visit("Chat")
    for page in pages:
        page.get_by_role("button", name="Settings").last.click()
        page.locator("input[aria-label^='number input for Longest answer']:visible").fill("3")
        page.keyboard.press("Tab")
    first, second = pages
    for asked in (1, 2):
        first.get_by_label("Message", exact=True).fill("c d e")
        first.get_by_label("Message", exact=True).press("Enter")
        first.locator("[data-testid=bot]").nth(asked - 1).wait_for()
        second.get_by_role("button", name="New conversation").click()
        second.wait_for_timeout(500)  # nothing is to be seen there
    assert first.locator("[data-testid=user]").count() == 2


def test_chat_with_settings_that_were_never_opened(visit):
    """Fields that have not been drawn yet send what they begin with."""
    page = visit("Chat")
    page.get_by_label("Message", exact=True).fill("c d e")
    page.get_by_label("Message", exact=True).press("Enter")
    # the model is too short for the longest answer that is asked for by default
    assert said(page, "[role=alert]") == "Messages has 6 tokens and max_tokens is 256; together at most 256."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_compare_draws(visit, scheme):
    page = visit("Compare", color_scheme=scheme)
    page.get_by_label("Text (or question)").fill("a good film was very bad")
    page.get_by_role("button", name="Compare", exact=True).click()
    images = page.locator(".answer img:visible")
    images.nth(2).wait_for()
    assert images.count() == 3  # of the scheme alone
    assert all(images.nth(at).evaluate("image => image.naturalWidth") > 200 for at in range(3))
    assert "layer 2 of 2, mean of 2 heads" in images.first.get_attribute("alt")
    before = images.first.get_attribute("src")
    page.get_by_label("Head", exact=True).click()
    page.get_by_role("option", name="2", exact=True).click()
    page.locator(".answer img[alt*='head 2 of 2']:visible").first.wait_for()
    assert images.first.get_attribute("src") != before
    page.get_by_label("Second model").click()
    page.get_by_role("option", name="cls", exact=True).click()
    page.get_by_role("button", name="Compare", exact=True).click()
    assert said(page, "[role=alert]") == "Both sides are the same; choose two models, or two levels."


def test_training_shows_the_command_and_runs_nothing(visit):
    page = visit("Training")
    page.get_by_label("Model to start from").fill("my-bert")
    page.get_by_label("keys", exact=True).check()
    command = page.locator(".cm-content")
    page.wait_for_function("() => document.querySelector('.cm-content').innerText.includes('--gi_key_side')")
    assert "--model_name_or_path my-bert" in command.inner_text()
    for name in ("Start", "Stop", "Resume"):
        assert page.get_by_role("button", name=name, exact=True).is_disabled()
    assert page.get_by_text("Running is switched off").is_visible()
    page.get_by_label("Further options").fill("--colour blue")
    page.get_by_role("button", name="Check").click()
    assert "Unknown arguments: --colour blue" in said(page, "[role=alert]")


def test_training_started_stopped_resumed(zoo, visit, tmp_path):
    """With a curve before there is any checkpoint, and for whoever opens the page later, too."""
    data = make_sst2(tmp_path / "glue", rows=16)
    with opened([f"cls={zoo['cls']}"], port=0, enable_training=True) as url:
        page = visit("Training", at=url)
        page.get_by_label("Model to start from").fill(str(make_model(tmp_path / "model")))
        page.get_by_label("Data set by name").click()
        page.get_by_role("option", name="sst2", exact=True).click()
        page.get_by_label("Folder with the GLUE files").fill(str(data))
        page.get_by_label("Further options").fill("--use_cpu --save_strategy no --logging_steps 2 --max_steps 1000000")
        page.get_by_label("Folder of the run").fill(str(tmp_path / "run"))
        page.wait_for_function("folder => document.querySelector('.cm-content').innerText.includes(folder)", arg=str(tmp_path / "run"))  # fmt: skip
        state, curve = page.locator(".lead:visible"), "img[alt^='Loss and']:visible"
        for button, words in (("Start", "Training is running."), ("Resume", "Training is running.")):
            page.get_by_role("button", name=button, exact=True).click()
            state.filter(has_text=words).last.wait_for()
            page.locator(curve).first.wait_for()
            if button == "Start":
                later = visit("Training", at=url)
                later.locator(curve).first.wait_for()
                assert not list(tmp_path.glob("run/checkpoint-*"))
            page.get_by_role("button", name="Stop", exact=True).click()
            state.filter(has_text="Training was stopped").last.wait_for()
        assert (tmp_path / "run" / "page.log").read_text().count("\n$ ginets glue ") == 2


def test_phone(visit):
    """Each tab, filled, at the width of a phone: `visit` checks that nothing scrolls sideways."""
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    page = visit(**phone)
    page.get_by_label("Text", exact=True).fill("a" * 300)
    page.get_by_role("button", name="Classify").click()
    said(page)
    ask = visit("Ask", **phone)
    ask.get_by_label("Passage").fill("good" * 100 + " film " * 50)
    ask.get_by_label("Question").fill("what")
    ask.get_by_role("button", name="Ask", exact=True).click()
    said(ask)
    compare = visit("Compare", **phone)
    compare.get_by_label("Text (or question)").fill("a good film was very bad " * 4)
    compare.get_by_role("button", name="Compare", exact=True).click()
    compare.locator(".answer img:visible").nth(2).wait_for()
    visit("Training", **phone)


def test_two_pages_at_once(zoo, visit):
    """Neither sees the other's text or answer."""
    pages, texts = [visit(), visit()], ["a good film", "awful very very bad"]
    for page, text in zip(pages, texts, strict=True):
        page.get_by_label("Text", exact=True).fill(text)
    for page in pages:
        page.get_by_role("button", name="Classify").click()
    for page, text in zip(pages, texts, strict=True):
        assert f"({alone(zoo['cls'], None, text).softmax(-1).max():.1%})" in said(page)


def test_what_is_missing_is_said(zoo, visit):
    with opened([f"gpt={zoo['gpt']}"], port=0) as url:
        page = visit(at=url)
        page.locator("[role=tab][aria-selected=true]:text-is('Chat')").wait_for()
        for name, words in (("Classify", "None of the loaded models classifies texts"), ("Ask", "answers questions"), ("Compare", "two models")):  # fmt: skip
            open_tab(page, name)
            page.locator("p:visible", has_text=words).first.wait_for()


@pytest.mark.parametrize("path,headers,status", [
    ("", {"Host": "evil.example"}, 403),
    ("gradio_api/upload", {}, 403),
    ("gradio_api/file=/etc/passwd", {}, 403),
    ("gradio_api/queue/join", {"Origin": "http://evil.example"}, 403),
    ("gradio_api/queue/join", {"Content-Type": "text/plain"}, 422),
    ("docs", {}, 404),
])  # fmt: skip
def test_closed_doors(url, path, headers, status):
    body = None if path in ("", "docs") else b'{"fn_index": 0, "data": [], "session_hash": "x"}'
    request = urllib.request.Request(url + path, body, {"Content-Type": "application/json"} | headers)
    with pytest.raises(urllib.error.HTTPError) as answer:
        urllib.request.urlopen(request)
    assert answer.value.code == status


def test_training_needs_loopback():
    with pytest.raises(ValueError, match="leave out --enable-training"), opened(["x"], host="0.0.0.0", enable_training=True):  # fmt: skip
        pass
    with pytest.raises(ValueError, match="port is 99999"), opened(["x"], port=99999):
        pass

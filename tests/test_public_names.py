"""Names that need PEFT: there when asked for, and no burden otherwise."""

import subprocess
import sys

import pytest

import ginets


CODE = """
import sys
from ginets import *
import ginets
assert "peft" not in sys.modules and set(ginets.ON_DEMAND) <= set(dir(ginets))
sys.modules["peft"] = None  # as if it were not installed
try:
    ginets.fold
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ginets.ON_DEMAND)
def test_names_on_demand(name):
    value = getattr(ginets, name)
    assert value.__name__ == name and value.__module__.startswith(f"ginets.{ginets.ON_DEMAND[name]}")


def test_unknown_names():
    with pytest.raises(AttributeError, match="'ginets' has no attribute 'InaConfig'"):
        _ = ginets.InaConfig


def test_without_peft():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "pip install 'ginets[adapters]'" in run.stdout

"""When the adapters are registered, and with which PEFT."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ginets.peft_hook import SUPPORTED_PEFT, check_version


REGISTERED = "print('GINETS_INA' in peft.PeftType.__members__, len(peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING) > 4)"


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("code", [
    "import ginets; import peft",
    "import peft; import ginets",
    # programs look whether PEFT is there before they import it
    "import ginets; from importlib.util import find_spec; assert find_spec('peft'); find_spec('peft'); import peft",
    # transformers imports PEFT in the middle of importing its Trainer
    "import ginets; from transformers import Trainer; import peft; from ginets import AFLoraCallback, SoraCallback",
    "from ginets.tuners import AFLoraCallback; from transformers import Trainer; import peft",
    "import ginets; from peft.tuners import lora; import peft",
    "import peft; from ginets.tuners import SoraConfig",
    "from ginets.tuners.ina.config import InAConfig; import peft",
])  # fmt: skip
def test_registration(code):
    run = python(f"{code}\n{REGISTERED}")
    assert run.stdout.split() == ["True", "True"], run.stderr


def test_nothing_is_left_behind():
    """Once PEFT is there, its import system entry is the usual one."""
    code = "import sys, ginets, peft; print(peft.__spec__.loader is peft.__loader__, type(peft.__loader__).__name__, sys.meta_path)"
    left = python(code).stdout
    assert left.startswith("True SourceFileLoader") and "AfterImport" not in left


def test_an_import_that_fails_can_be_repeated():
    code = """
import sys, ginets
sys.modules["accelerate"] = None  # which PEFT needs
try:
    import peft
except ImportError:
    print("failed")
del sys.modules["accelerate"]
for name in [name for name in sys.modules if name.partition(".")[0] == "peft"]:
    del sys.modules[name]
import peft
"""
    run = python(code + REGISTERED)
    assert run.stdout.split() == ["failed", "True", "True"], run.stderr


def test_a_blocked_peft_is_no_reason_to_fail():
    run = python("import sys; sys.modules['peft'] = None; import ginets; print('imported')")
    assert run.stdout == "imported\n", run.stderr


def test_an_unknown_peft_is_no_reason_to_break_it():
    code = """
import ginets, ginets.peft_hook
ginets.peft_hook.SUPPORTED_PEFT = ("99", "100")
import peft
print(peft.LoraConfig().r, "GINETS_INA" in peft.PeftType.__members__)
import ginets.tuners
"""
    run = python(code)
    assert run.stdout.split() == ["8", "False"]
    said = re.findall(r"(\w+): the adapters of ginets work with peft>=99,<100; installed is .+ Install", run.stderr)
    assert said == ["UserWarning", "UnsupportedPeftError"] and run.returncode == 1


def test_versions():
    least, below = SUPPORTED_PEFT
    check_version(least)
    for version in ("0.20.0", below, "1.0"):
        with pytest.raises(ImportError, match=rf"peft>={least},<{below}; installed is {version}.*pip install"):
            check_version(version)
    assert f"peft>={least},<{below}" in Path(__file__).parents[2].joinpath("setup.py").read_text()

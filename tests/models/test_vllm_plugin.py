"""The entry point as vLLM uses it, without vLLM: a process that imports nothing of ours finds it, and knows the families."""

import json
import subprocess
import sys
from pathlib import Path

from transformers import AutoModel

from ginets.models import FAMILIES
from tests import tiny


ROOT = Path(__file__).resolve().parents[2]
# what vLLM does at the start of each of its processes, then what it does with the config of a model
PROCESS = """
import json, sys
from importlib.metadata import entry_points

plugins = {found.name: found for found in entry_points(group="vllm.general_plugins")}
assert "ginets" not in sys.modules
for call in (plugins["ginets"].load(), plugins["ginets"].load()):
    call()
from transformers import AutoConfig, AutoModel
for folder in sys.argv[1:]:
    config = AutoConfig.from_pretrained(folder)
    print(json.dumps([type(config).__name__, type(AutoModel.from_config(config)).__name__]))
"""


def test_entry_point(tmp_path):
    for model_type in tiny.BY_TYPE:
        tiny.config(model_type).save_pretrained(tmp_path / model_type)
    run = subprocess.run([sys.executable, "-c", PROCESS, *tiny.BY_TYPE], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    found = [json.loads(line) for line in run.stdout.splitlines()]
    assert found == [
        [family.config.__name__, tiny.backbone_class(model_type).__name__]
        for model_type, family in tiny.BY_TYPE.items()
    ]


def test_what_the_page_promises():
    """The families that docs/vllm.md names pass transformers' check; the other does not."""
    compatible = {
        family.config.model_type: AutoModel._model_mapping[family.config].is_backend_compatible()
        for family in FAMILIES
    }
    assert compatible == {"bert_gi": True, "roberta_gi": True, "deberta_v2_gi": False, "llama_ina": True}
    page = (ROOT / "docs" / "vllm.md").read_text(encoding="utf-8")
    assert "**Not run.**" in page and "Llama with InA, gated BERT and RoBERTa. Not DeBERTa" in page


def test_branches_follow_their_projections_over_several_gpus():
    """Each projection of Llama that is cut has a branch that is cut the same way."""
    config = tiny.BY_TYPE["llama_ina"].config
    plan, stock = config.base_model_tp_plan, config.__bases__[-1].base_model_tp_plan
    assert {name: plan[name] for name in stock} == stock
    for name, style in stock.items():
        assert plan[f"{name}_ina.{'B' if style == 'colwise' else 'A'}"] == style

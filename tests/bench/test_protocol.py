"""The project's own protocol: every method takes a step on each family, and parameters are matched as it says."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig

from ginets.bench.cost import step_of
from ginets.bench.models import model_of
from ginets.bench.protocol import load
from ginets.recipes.adapted import count_trainable
from tests import tiny


pytest.importorskip("yaml")
FILE = Path(__file__).parents[2] / "benchmarks/leaderboard/leaderboard.yaml"
METHODS = list(load(FILE).methods)
WHOLE = ("full", "gi-0", "gi-0.1", "gi-0.3", "gi-0.9", "gi-0.1-batch", "gi-0.3-batch", "gi-0.9-batch")
UNMATCHED = ("vera",)  # the protocol says so


@pytest.fixture(scope="module", params=["bert_gi", "roberta_gi", "deberta_v2_gi"])
def base(request, tmp_path_factory):
    """A stock model without gates, as `--base` takes it."""
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    tiny.stock_backbone_class(request.param)(tiny.stock_config(request.param)).save_pretrained(folder)
    assert not AutoConfig.from_pretrained(folder).model_type.endswith("gi")
    return str(folder)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_a_step(base, method):
    board = load(FILE, {"model_name_or_path": base, "glue": "GLUE"})
    step_of(*model_of(board, method), length=6)()


def test_parameters_are_matched(minilm):
    board = load(FILE, {"model_name_or_path": str(minilm), "glue": "GLUE"})
    counts = {
        method: count_trainable(model_of(board, method)[0])["trainable_parameters_without_head"]
        for method in METHODS
        if method not in WHOLE
    }
    assert counts["lora"] == 6 * 3 * 8 * (384 + 384)
    far = {method for method, count in counts.items() if abs(count / counts["lora"] - 1) > 0.1}
    assert far == set(UNMATCHED)


def test_base_model_has_all_but_the_pooler_and_every_method_trains_a_fresh_one(minilm, tmp_path):
    script = [sys.executable, str(FILE.parents[1] / "base_model.py")]
    assert subprocess.run([*script, str(tmp_path / "base")], check=True).returncode == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (minilm, tmp_path / "base"))
    assert before.keys() - after.keys() == {"pooler.dense.weight", "pooler.dense.bias"}
    assert not before["pooler.dense.bias"].any()  # nobody has trained it
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    again = subprocess.run([*script, str(tmp_path / "base")], capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "is there; give a new folder" in again.stderr
    board = load(FILE, {"model_name_or_path": str(tmp_path / "base"), "glue": "GLUE"})
    for method in ("full", "lora", "ina-0.9", "vera", "aflora", "gi-0.9", "gi-alone", "lora-gi"):
        model, _ = model_of(board, method)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert any("pooler" in name for name in trained) and any("classifier" in name for name in trained), method

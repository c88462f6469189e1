"""The project's own protocol: every method takes a step on each family, and parameters are matched as it says."""

from pathlib import Path

import pytest
import torch
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

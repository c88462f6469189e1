"""What a step costs: in turn with the baseline, so that load on the machine falls out."""

import json
import weakref
from types import SimpleNamespace

import pytest
import torch

from ginets.bench import cost
from ginets.cli import bench, bench_actions
from tests import tiny
from tests.bench.boards import CONTENT, write


pytest.importorskip("yaml")
SECONDS = {"full": 3.0, "ina": 2.5, "lora": 2.0}
ROUNDS = 5


@pytest.mark.parametrize(("device", "clock"), [("cpu", "process_time"), ("cuda", "perf_counter")])
def test_load_falls_out(monkeypatch, device, clock):
    """On a machine whose load grows: a step takes its seconds times a load that is the same for both steps of a round."""
    steps, now, made = [], [0.0], []

    def step_of(method, training_args, length):
        assert sum(each() is not None for each in made) <= 1  # the baseline's is held, no other

        def step():
            load = 10 + len(steps) // 2
            steps.append(method)
            now[0] += SECONDS[method] * load

        made.append(weakref.ref(step))
        return step

    training_args = SimpleNamespace(device=torch.device(device))
    monkeypatch.setattr(cost, "model_of", lambda board, method: (method, training_args))
    monkeypatch.setattr(cost, "step_of", step_of)
    monkeypatch.setattr(cost, "time", SimpleNamespace(**{clock: lambda: now[0]}))
    figures = cost.measure(SimpleNamespace(baselines=["lora", "full"], methods=SECONDS), ROUNDS, 64)
    assert list(figures) == list(SECONDS)
    assert steps[:4] == ["full", "lora"] * 2 and len(steps) == len(SECONDS) * 2 * (ROUNDS + 1)
    assert [each["step_ratio"] for each in figures.values()] == [1.5, 1.25, 1.0]
    assert figures["full"]["step_s"] == 3.0 * 13  # loads of 11 to 15, after the round that warms up


def test_verb(tmp_path, monkeypatch):
    seen = []

    def measured(*arguments):
        seen.append(torch.get_num_threads())
        return cost.measure(*arguments)

    monkeypatch.setattr(bench_actions, "measure", measured)
    torch.manual_seed(0)
    base = tmp_path / "base"
    tiny.stock_backbone_class("bert_gi")(tiny.stock_config("bert_gi")).save_pretrained(base)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bench.cost(write(tmp_path), base=str(base), name="here", rounds=2, length=6)
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    written = json.loads((tmp_path / "here" / "costs.json").read_text(encoding="utf-8"))
    assert (written["rounds"], written["length"], written["hardware"]["threads"]) == (2, 6, 1)
    assert written["precision"] == "fp32"
    assert list(written["methods"]) == list(CONTENT["methods"])
    assert all(each["step_s"] > 0 and each["step_ratio"] > 0 for each in written["methods"].values())

"""The scripts that look for reasons in trained models: their figures are those of a naive count over the same tokens."""

from functools import partial
from types import SimpleNamespace

import peft
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertForSequenceClassification

from ginets import InAConfig
from ginets.bench.protocol import load
from ginets.bench.results import Results
from tests.bench.boards import CONTENT, fill, write
from tests.bench.test_committed import ROOT
from tests.recipes.glue_fixtures import make_model, make_sst2
from tests.tiny import BOTH


pytest.importorskip("datasets")

METRIC, LEVEL = "accuracy", 0.3


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import batch_scope
    import inhibition
    import leaderboard_runs

    return SimpleNamespace(batch_scope=batch_scope, inhibition=inhibition, runs=leaderboard_runs)


@pytest.fixture
def base(tmp_path):
    """With weights large enough that attention, and so the gates, decide answers."""
    return make_model(tmp_path / "base", ("bad", "good"), num_hidden_layers=2, initializer_range=0.8)


@pytest.fixture
def options(tmp_path, base):
    make_sst2(tmp_path / "data", rows=21)
    return SimpleNamespace(
        task="sst2", glue_dir=str(tmp_path / "data"), model=str(base), device="cpu", batch_size=4, sizes=[1, 8]
    )


def make_gated(base, folder, scope: str = "token"):
    """The model of `base` with gates that are far from 1."""
    flags = {**BOTH, "inhibition_level": LEVEL, "inhibition_scope": scope}
    model = AutoModelForSequenceClassification.from_pretrained(base, **flags).eval()
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "select_" in name or "inhibition_" in name:
            parameter.data.normal_(0, 1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return model


def keep(seen: dict, name: str, module, inputs, output) -> None:
    seen[name] = inputs, output


def alone(model, rows) -> list[tuple[torch.Tensor, dict]]:
    """Logits of each row by itself, without padding, and the inputs and outputs of the modules on the way."""
    found = []
    for row in rows:
        seen, hooks = {}, []
        for name, module in model.named_modules():
            hooks.append(module.register_forward_hook(partial(keep, seen, name)))
        with torch.no_grad():
            ids = {key: torch.tensor([row[key]]) for key in ("input_ids", "token_type_ids", "attention_mask")}
            found.append((model(**ids).logits[0], seen))
        for hook in hooks:
            hook.remove()
    return found


def test_gates(scripts, options, base, tmp_path):
    model = make_gated(base, tmp_path / "gated")
    tables = scripts.runs.rows_of(options, "train", "validation")
    figures = scripts.inhibition.measure(options, tmp_path / "gated", tables, METRIC)
    opened = BertForSequenceClassification.from_pretrained(base).eval()
    for split, rows in tables.items():
        gold = torch.tensor(rows["label"])
        passes = alone(model, rows)
        logits = torch.stack([each for each, _ in passes])
        assert figures[f"{split}_loss"] == pytest.approx(F.cross_entropy(logits, gold).item(), abs=1e-4)
        assert figures[f"{split}_{METRIC}"] == pytest.approx((logits.argmax(1) == gold).double().mean(), abs=1e-4)
    scores = [
        seen[name][1][0]
        for _, seen in passes  # of the development rows, which come last
        for name in seen
        if name.endswith(("select_q", "select_k"))
    ]
    excess = torch.cat([(each - LEVEL * each.amax(-1, keepdim=True)).flatten() for each in scores])
    gate = F.gelu(excess) + 1
    assert len(scores) == 21 * 2 * 2 and figures["inhibited"] == pytest.approx((excess < 0).double().mean(), abs=1e-4)
    assert figures["reduced"] == pytest.approx((gate < 0.99).double().mean(), abs=1e-4)
    assert figures["gate"] == pytest.approx(gate.mean().item(), abs=1e-4)
    assert figures["gate_least"] == pytest.approx(gate.min().item(), abs=1e-4)
    assert figures["gate_largest"] == pytest.approx(gate.max().item(), abs=1e-4)
    without = torch.stack([each for each, _ in alone(opened, rows)])
    assert figures[f"validation_{METRIC}_at_1"] == pytest.approx((without.argmax(1) == gold).double().mean(), abs=1e-4)
    changed = (without.argmax(1) != logits.argmax(1)).double().mean().item()
    assert changed > 0 and figures["changed_at_1"] == pytest.approx(changed, abs=1e-4)
    assert not {"kept", "branch"} & figures.keys()


@pytest.mark.parametrize("method", ["ina", "lora"])
def test_branches(scripts, options, base, tmp_path, method):
    common = {"r": 4, "target_modules": ["query", "key"], "task_type": "SEQ_CLS"}
    config = {
        "ina": InAConfig(ina_alpha=8, inhibition_level=LEVEL, **common),
        "lora": peft.LoraConfig(lora_alpha=8, **common),
    }[method]
    torch.manual_seed(0)
    model = peft.get_peft_model(BertForSequenceClassification.from_pretrained(base), config).eval()
    for name, parameter in model.named_parameters():
        if "_A" in name or "_B" in name:
            parameter.data.normal_(0, 0.5)
    model.save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    tables = scripts.runs.rows_of(options, "train", "validation")
    figures = scripts.inhibition.measure(options, tmp_path / "adapter", tables, METRIC)
    weights = {name.replace(".default", ""): tensor for name, tensor in model.state_dict().items()}
    branch, kept, below = [], [], []
    for _, seen in alone(model, tables["validation"]):
        for name in (each for each in seen if each.endswith((".self.query", ".self.key"))):
            (hidden_states, *_), output = seen[name]
            a, b = (weights[f"{name}.{method}_{part}.weight"] for part in "AB")
            ranks = hidden_states[0] @ a.T
            excess = ranks - LEVEL * ranks.amax(-1, keepdim=True)
            left = F.leaky_relu(excess, 0.01) if method == "ina" else ranks
            projected = F.linear(
                hidden_states[0], weights[f"{name}.base_layer.weight"], weights[f"{name}.base_layer.bias"]
            )
            torch.testing.assert_close(output[0], projected + 2 * left @ b.T, atol=1e-4, rtol=1e-4)
            branch.append((2 * left @ b.T).norm(dim=1) / projected.norm(dim=1))
            kept.append(left.norm(dim=1) / ranks.norm(dim=1))
            below.append(excess < 0)
    assert len(branch) == 21 * 2 * 2
    assert figures["branch"] == pytest.approx(torch.cat(branch).mean().item(), abs=1e-3)
    if method == "ina":
        assert figures["kept"] == pytest.approx(torch.cat(kept).mean().item(), abs=1e-3)
        assert figures["inhibited"] == pytest.approx(torch.cat(below).double().mean().item(), abs=1e-3)
    assert ("kept" in figures) == ("inhibited" in figures) == (method == "ina")
    assert "changed_at_1" not in figures  # there are no gates


@pytest.mark.parametrize("scope", ["token", "batch"])
def test_batches(scripts, options, base, tmp_path, scope):
    model = make_gated(base, tmp_path / "gated", scope)
    rows = scripts.runs.rows_of(options, "validation")["validation"].sort("length", reverse=True)
    figures = scripts.batch_scope.compared(options, tmp_path / "gated", rows, METRIC)
    assert list(figures) == ["4 by length", "1 by length", "8 by length", "4 as in the file"]
    assert figures["4 by length"]["changed"] == figures["4 by length"]["largest_change"] == 0
    single = torch.stack([logits for logits, _ in alone(model, rows)])
    tokenizer, fields = AutoTokenizer.from_pretrained(base), ["input_ids", "token_type_ids", "attention_mask"]
    fours = []
    for start in range(0, len(rows), 4):
        batch = [{name: row[name] for name in fields} for row in rows.select(range(start, min(start + 4, len(rows))))]
        with torch.no_grad():
            fours.append(model(**tokenizer.pad(batch, return_tensors="pt")).logits)
    fours, gold = torch.cat(fours), torch.tensor(rows["label"])
    found, apart = figures["1 by length"], (single - fours).abs().max().item()
    assert found["largest_change"] == pytest.approx(apart, abs=1e-5) and (apart > 1e-3) == (scope == "batch")
    assert found["changed"] == pytest.approx((single.argmax(1) != fours.argmax(1)).double().mean(), abs=1e-4)
    assert found[METRIC] == pytest.approx((single.argmax(1) == gold).double().mean(), abs=1e-4)


@pytest.mark.parametrize(("given", "taken"), [("", True), ("false", False), ("true", True)])
def test_precision_of_repeated_runs(scripts, tmp_path, given, taken):
    """It is the file's unless another is given; it is no part of what a run is."""
    arguments = {name: value for name, value in CONTENT["arguments"].items() if name != "use_cpu"}
    file = write(tmp_path, places=CONTENT["places"] | {"use_cpu": True, "bf16": True}, arguments=arguments)
    board = Results(load(file), tmp_path / "tiny")
    fill(board, board.leaderboard.tuning(board.folder).cells, "cola")
    options = SimpleNamespace(
        leaderboard=str(file), name="tiny", variants=["lora"], task="rte", seeds=[1], points=2, device="cpu",
        model="Some/Base", glue_dir="GLUE", bf16=given,
    )  # fmt: skip
    results = scripts.runs.open_results(options)
    cells = results.leaderboard.task(results.folder, "rte", results.rates).cells
    assert {cell.places["bf16"] for cell in cells} == {taken}
    assert {cell.key for cell in cells} == {
        cell.key for cell in board.leaderboard.task(board.folder, "rte", board.rates).cells
    }
    with pytest.raises(SystemExit, match="--bf16 has no; known are true, false"):
        scripts.runs.open_results(SimpleNamespace(**vars(options) | {"bf16": "no"}))

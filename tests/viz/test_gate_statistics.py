"""Gate statistics against the formulas, from hidden states the model itself hands out; padding and other modules aside."""

import numpy as np
import peft
import pytest
import torch
from transformers import BertModel, DebertaV2Model, LlamaModel

from ginets import InAConfig
from ginets.models.llama_ina.modeling_llama_ina import LlamaInAModel
from ginets.viz.gates import QUANTILES, EntryStatistics, GateRecorder
from ginets.viz.gates_figure import draw_gates, draw_inhibited
from tests import tiny
from tests.reference.gates import erf_gelu, gate


LENGTHS = (7, 4)


def padded() -> dict[str, torch.Tensor]:
    inputs = tiny.inputs(len(LENGTHS), max(LENGTHS))
    for row, length in enumerate(LENGTHS):
        inputs["attention_mask"][row, length:] = 0
    return inputs


def record(model, recorder=None, inputs=None) -> tuple[GateRecorder, tuple[torch.Tensor, ...]]:
    """The recorder after one forward, and the hidden states of that forward."""
    recorder, inputs = recorder or GateRecorder(), inputs or padded()
    recorder.real = inputs["attention_mask"].bool()
    with recorder.watch(model.eval()), torch.no_grad():
        return recorder, model(**inputs, output_hidden_states=True).hidden_states


def gated_bert(scope: str = "token", level: float = 0.3):
    config = tiny.config("bert_gi", **tiny.BOTH, gi_layer_num=2, inhibition_level=level, inhibition_scope=scope)
    return tiny.randomise(tiny.backbone_class("bert_gi")(config))


@pytest.mark.parametrize("scope", ["token", "batch"])
def test_gates_against_the_formula(scope):
    model, real = gated_bert(scope), padded()["attention_mask"].bool()
    recorder, states = record(model)
    rows = {(row["layer"], row["place"]): row for row in recorder.rows()}
    assert set(rows) == {(layer, side) for layer in (2, 3) for side in ("query", "key")}
    for (layer, side), row in rows.items():
        attention = model.encoder.layer[layer - 1].attention.self
        parts = [getattr(attention, f"{part}_{side[0]}") for part in ("inhibition", "select")]
        with torch.no_grad():
            hidden = states[layer - 1]
            G = gate(hidden, *parts, 0.3, scope)[real].double().numpy()
            S = parts[1](erf_gelu(parts[0](hidden)))
            excess = (S - 0.3 * (S.max() if scope == "batch" else S.max(-1, keepdim=True).values))[real].numpy()
        assert row["entries"] == G.size == sum(LENGTHS) * 32 and row["kind"] == "gate" and row["level"] == 0.3
        assert row["share_inhibited"] == pytest.approx((excess < 0).mean(), abs=1 / G.size)
        assert row["share_reduced"] == pytest.approx((G < 0.99).mean(), abs=1 / G.size)
        assert 0.1 < row["share_reduced"] < row["share_inhibited"] < 1  # far below the threshold G is 1 again
        for name in ("mean", "min", "max"):
            assert row[name] == pytest.approx(getattr(G, name)(), rel=1e-5)
        assert row["sd"] == pytest.approx(G.std(), rel=1e-4)
        for share in QUANTILES:
            below, above = (np.quantile(G, max(0, min(1, share + d))) for d in (-0.01, 0.01))
            assert below - 1e-3 <= row[f"quantile_{share}"] <= above + 1e-3


def test_a_fresh_gate_inhibits_nothing():
    config = tiny.config("bert_gi", **tiny.BOTH)
    recorder, _ = record(tiny.backbone_class("bert_gi")(config))
    for row in recorder.rows():
        assert row["share_inhibited"] == 0 and row["mean"] == row["quantile_0.01"] == row["quantile_0.99"] == 1


def test_distribution_of_many_entries():
    """Quantiles and histogram against numpy, over values of very different size."""
    torch.manual_seed(1)
    excess = torch.cat([torch.randn(20000) * scale for scale in (1e-3, 0.3, 5)]).reshape(-1, 10)
    statistics = EntryStatistics("gate", 0.1)
    for part in excess.split(1000):
        statistics.add(part)
    G = torch.nn.functional.gelu(excess).double().numpy() + 1
    row = statistics.row()
    assert row["share_inhibited"] == pytest.approx((excess < 0).double().mean().item())
    for share in QUANTILES:
        wanted = np.quantile(G, share)
        assert row[f"quantile_{share}"] == pytest.approx(wanted, abs=0.01 * abs(wanted - 1) + 1e-5)
    histogram = statistics.histogram()
    counts, _ = np.histogram(G, histogram["edges"])
    assert sum(histogram["counts"]) == G.size and len(histogram["edges"]) == len(counts) + 1
    assert np.abs(counts - histogram["counts"]).sum() < 0.002 * G.size


def adapter(base, level: float = 0.3, **options) -> peft.PeftModel:
    model = peft.get_peft_model(base, InAConfig(r=4, inhibition_level=level, **options))
    for name, parameter in model.named_parameters():
        if "ina_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def below(states: torch.Tensor, weight: torch.Tensor, level: float = 0.3) -> np.ndarray:
    """Share by rank of tokens in which h < p·max h."""
    h = (states @ weight.T)[padded()["attention_mask"].bool()].detach().numpy()
    return (h < level * h.max(1, keepdims=True)).mean(0)


def test_ranks_of_an_adapter_against_the_formula():
    model = adapter(BertModel(tiny.stock_config("bert_gi")), target_modules=["query", "value"])
    recorder, states = record(model)
    rows = {(row["layer"], row["place"]): row for row in recorder.details()}
    assert set(rows) == {(n, f"attention.self.{name}") for n in (1, 2, 3) for name in ("query", "value")}
    for (layer, place), row in rows.items():
        module = model.get_base_model().encoder.layer[layer - 1].get_submodule(place)
        wanted = below(states[layer - 1], module.ina_A["default"].weight)
        np.testing.assert_allclose(row["by_rank"], wanted)
        assert row["share_inhibited"] == pytest.approx(wanted.mean()) and row["entries"] == sum(LENGTHS) * 4
        assert row["kind"] == "ranks" and 0 < row["share_inhibited"] < 1 and "mean" not in row


def test_ranks_of_a_native_llama():
    config = tiny.config("llama_ina", ina_target_modules=["q_proj", "up_proj"], ina_rank=4, gi_layer_num=2)
    model = tiny.randomise(LlamaInAModel(config))
    recorder, states = record(model)
    rows = {(row["layer"], row["place"]): row for row in recorder.rows()}
    assert set(rows) == {(layer, place) for layer in (2, 3) for place in ("self_attn.q_proj", "mlp.up_proj")}
    for layer in (2, 3):
        block = model.layers[layer - 1]
        wanted = below(block.input_layernorm(states[layer - 1]), block.self_attn.q_proj_ina.A.weight)
        assert rows[layer, "self_attn.q_proj"]["share_inhibited"] == pytest.approx(wanted.mean())


def test_what_has_no_threshold_is_not_listed():
    stock = BertModel(tiny.stock_config("bert_gi"))
    llama = LlamaModel(tiny.stock_config("llama_ina"))
    lora = peft.get_peft_model(BertModel(tiny.stock_config("bert_gi")), peft.LoraConfig(target_modules=["query"]))
    linear = adapter(BertModel(tiny.stock_config("bert_gi")), level=0, target_modules=["query"])
    for model in (stock, llama, lora, linear):
        assert record(model)[0].rows() == []
    off = adapter(BertModel(tiny.stock_config("bert_gi")), target_modules=["query"])
    with off.disable_adapter():
        assert record(off)[0].rows() == []
    assert draw_gates([]) is None and draw_inhibited([]) is None


def test_a_table_of_positions_is_no_text():
    """DeBERTa sends it through the adapted projection, too."""
    model = adapter(DebertaV2Model(tiny.stock_config("deberta_v2_gi")), target_modules=["query_proj"])
    assert {row["entries"] for row in record(model)[0].rows()} == {sum(LENGTHS) * 4}


def test_seeds_add_up_and_outputs_stay_the_same():
    first, second = gated_bert().eval(), gated_bert()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(0.9)
    with torch.no_grad():
        plain = first(**padded()).last_hidden_state
    recorder, states = record(first)
    assert torch.equal(states[-1], plain)
    one = {(row["layer"], row["place"]): row for row in recorder.rows()}
    record(second, recorder)
    both = {(row["layer"], row["place"]): row for row in recorder.rows()}
    two = {(row["layer"], row["place"]): row for row in record(second)[0].rows()}
    for key, row in both.items():
        assert row["entries"] == 2 * one[key]["entries"]
        assert row["mean"] == pytest.approx((one[key]["mean"] + two[key]["mean"]) / 2)
    with torch.no_grad():
        first(**padded())  # the hooks are gone
    assert {(row["layer"], row["place"]): row for row in recorder.rows()} == both
    with pytest.raises(ValueError, match=r"inhibition_level is 0\.1, in a model of the same name 0\.3"):
        record(gated_bert(level=0.1), recorder)


def test_pictures():
    rows = []
    for variant, model in {
        "gated": gated_bert(), "adapted": adapter(BertModel(tiny.stock_config("bert_gi")), target_modules=["query"]),
    }.items():  # fmt: skip
        rows += [{"variant": variant, **row} for row in record(model)[0].rows()]
    gates = draw_gates(rows, "dark")
    assert [axes.get_title() for axes in gates.axes] == ["key side", "query side"]
    medians = gates.axes[1].lines[0]
    wanted = [row["quantile_0.5"] for row in rows if row["place"] == "query"]
    np.testing.assert_allclose(medians.get_ydata(), wanted)
    assert list(medians.get_xdata()) == [2, 3]
    axes = draw_inhibited(rows).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert set(names) == {"gated: query gate", "gated: key gate", "adapted: attention.self.query"}
    for row in rows:
        name = f"{row['variant']}: {row['place']}{' gate' if row['kind'] == 'gate' else ''}"
        cell = axes.images[0].get_array()[names.index(name), row["layer"] - 1]
        assert cell == pytest.approx(row["share_inhibited"])
    assert axes.images[0].get_array().mask.sum() == 2  # the first layer has no gates

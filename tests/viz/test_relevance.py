"""The relevance statistic: masses by hand, by naive loops and in models whose attention is known; differences; picture."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForQuestionAnswering

from ginets.data.relevant import ROLES, Passage, mark, read_passages
from ginets.hub.load import load_for_inference
from ginets.viz import relevance
from ginets.viz.attention import capture
from ginets.viz.relevance import FEATURES, MEAN, QUERIES, compare, features, masses, measure, summarise
from ginets.viz.relevance_figure import draw_relevance
from tests.words import bert, tokenizer


PASSAGES = [
    Passage("0", "a ?", "b c d e f", ((2, 3),)),
    Passage("1", "c d ?", "a b. c d e f g h a b c", ((0, 1), (5, 8))),
    Passage("2", "h", "g a", ((0, 1),)),
    Passage("3", "g ?", "g a", ((2, 3),)),
]


def naive_masses(weights: np.ndarray, roles: np.ndarray) -> np.ndarray:
    """`(heads, T, T)` → `(queries, roles)` by loops."""
    found = np.zeros((2, 4))
    for number, looking in enumerate((("relevant", "irrelevant", "question"), ("question",))):
        queries = [at for at, role in enumerate(roles) if role >= 0 and ROLES[role] in looking]
        for role in range(4):
            sums = [sum(head[query][key] for key, other in enumerate(roles) if other == role)
                    for head in weights for query in queries]  # fmt: skip
            found[number, role] = sum(sums) / len(sums)
    return found


def test_masses_by_hand():
    """Three tokens: question, relevant, irrelevant; two heads."""
    first = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.125, 0.375, 0.5]]
    second = [[0.1, 0.8, 0.1], [0.3, 0.3, 0.4], [0.5, 0.25, 0.25]]
    got = masses(torch.tensor([[first, second]]), torch.tensor([[2, 0, 1]]))
    relevant = (0.25 + 1 + 0.375 + 0.8 + 0.3 + 0.25) / 6
    irrelevant = (0.25 + 0 + 0.5 + 0.1 + 0.4 + 0.25) / 6
    question = (0.5 + 0 + 0.125 + 0.1 + 0.3 + 0.5) / 6
    torch.testing.assert_close(got[0, 0], torch.tensor([relevant, irrelevant, question, 0]))
    torch.testing.assert_close(got[0, 1], torch.tensor([(0.25 + 0.8) / 2, (0.25 + 0.1) / 2, (0.5 + 0.1) / 2, 0]))


def test_masses_by_loops():
    """With special tokens, which do not look, and padding, which neither looks nor is looked at."""
    roles = torch.tensor([[3, 2, 2, 3, 1, 0, 1, 3], [3, 2, 3, 0, 0, 3, -1, -1]])
    scores = torch.randn(2, 3, 8, 8) * 2
    weights = scores.masked_fill((roles == -1)[:, None, None], -torch.inf).softmax(-1)
    got = masses(weights, roles)
    for row in range(2):
        np.testing.assert_allclose(got[row], naive_masses(weights[row].numpy(), roles[row].numpy()), rtol=1e-5)
    torch.testing.assert_close(got.sum(-1), torch.ones(2, 2))


def test_a_model_that_looks_at_everything_alike():
    """Without queries attention is uniform, so a role's mass is its share of the tokens."""
    model = bert()
    for layer in model.bert.encoder.layer:
        torch.nn.init.zeros_(layer.attention.self.query.weight)
        torch.nn.init.zeros_(layer.attention.self.query.bias)
    marked = mark(PASSAGES, tokenizer(), 32, 2)
    measured = measure(model, tokenizer(), marked)
    for name, values in measured.items():
        roles = marked[name].roles
        share = [(roles == role).mean() for role in range(4)]
        np.testing.assert_allclose(values, np.broadcast_to(share, (2, 2, 4)), rtol=1e-5)
    values = features(np.stack(list(measured.values())), [marked[name].roles for name in measured])
    np.testing.assert_allclose(relevance.FIGURES["density_ratio"](values), 1, rtol=1e-5)


def test_a_model_that_looks_for_one_word():
    """All queries are one constant vector, keys differ for the word "c" alone: its mass is known in closed form."""
    model = bert()
    with torch.no_grad():
        embeddings = model.bert.embeddings
        for table in (embeddings.position_embeddings, embeddings.token_type_embeddings):
            table.weight.zero_()
        sign = torch.tensor([1.0, -1.0]).repeat(8)  # survives the layer norm as it is
        embeddings.word_embeddings.weight[:] = sign
        embeddings.word_embeddings.weight[tokenizer().convert_tokens_to_ids("c")] = -sign
        attention = model.bert.encoder.layer[0].attention.self
        attention.query.weight.zero_()
        attention.query.bias.fill_(1.0)
        attention.key.weight.copy_(-torch.diag(sign) / 4)  # ± 1/4 in each of 8 features: ± 2 / √8 a head
        attention.key.bias.zero_()
    marked = mark(PASSAGES[:2], tokenizer(), 32, 2)
    measured = measure(model, tokenizer(), marked)
    score = 2 / math.sqrt(8)
    loud, quiet = math.exp(score), math.exp(-score)
    # [CLS] a ? [SEP] b c d e f [SEP]: "c" is relevant
    np.testing.assert_allclose(measured["0"][0, :, 0], loud / (loud + 9 * quiet), rtol=1e-4)
    np.testing.assert_allclose(measured["0"][0, :, 1], 4 * quiet / (loud + 9 * quiet), rtol=1e-4)
    # … c d ? … a b . c d e f g h a b c …: relevant are a, c and d; one c is in the question, one is irrelevant
    total = 3 * loud + 15 * quiet
    wanted = [(loud + 2 * quiet), (loud + 8 * quiet), (loud + 2 * quiet), 3 * quiet]
    np.testing.assert_allclose(measured["1"][0], np.broadcast_to(wanted, (2, 4)) / total, rtol=1e-4)


def test_batches_do_not_matter(monkeypatch):
    """One at a time, as `capture` sees them, all at once, and all model arguments where they belong."""
    model, words = bert(), tokenizer()
    marked = mark(PASSAGES, words, 32, 2)
    together = measure(model, words, marked)
    monkeypatch.setattr(relevance, "MEMORY", 1)
    alone = measure(model, words, marked)
    assert set(together) == set(alone) == {each.id for each in PASSAGES}
    for each in PASSAGES:
        np.testing.assert_allclose(together[each.id], alone[each.id], atol=1e-6)
        seen = capture(model, words, each.question, each.context)
        for layer, weights in enumerate(seen.weights):
            np.testing.assert_allclose(
                together[each.id][layer], naive_masses(weights, marked[each.id].roles), atol=1e-6
            )


def run(model, name: str):
    marked = mark(PASSAGES, tokenizer(), 32, 2)
    return name, measure(model, tokenizer(), marked), marked


def test_comparison_by_hand():
    """Estimates, means over layers, ratios, differences and the averaging of seeds."""
    runs = [run(bert(0), "base"), run(bert(1), "other"), run(bert(2), "other")]
    report = compare(runs, PASSAGES, draws=200)
    assert (report["passages"], report["contexts"]) == (4, 3)
    assert len(report["rows"]) == 2 * len(QUERIES) * 3 * len(relevance.FIGURES)

    def by_hand(number: int, query: int, layer) -> np.ndarray:
        _, measured, marked = runs[number]
        rows = []
        for each in PASSAGES:
            mass = measured[each.id][:, query].mean(0) if layer == MEAN else measured[each.id][layer - 1, query]
            counts = [(marked[each.id].roles == role).sum() for role in (0, 1)]
            rows.append([*mass, mass[0] / counts[0], mass[1] / counts[1]])
        return np.array(rows)

    for row in report["rows"]:
        query = QUERIES.index(row["queries"])
        base, one, two = (by_hand(number, query, row["layer"]).mean(0) for number in range(3))

        def figure(means, name=row["figure"]):
            if name == "density_ratio":
                return means[4] / means[5]
            return means[0] / (means[0] + means[1]) if name == "relevant_share" else means[FEATURES.index(name)]

        other = figure((one + two) / 2)
        assert row["value"] == pytest.approx(figure(base) if row["variant"] == "base" else other, rel=1e-5)
        assert row["low"] <= row["high"]
        if row["variant"] == "base":
            assert row["difference"] is row["difference_low"] is None
        else:
            assert row["difference"] == pytest.approx(other - figure(base), rel=1e-4, abs=1e-7)
    alone = [row for row in report["runs"] if (row["variant"], row["seed"]) == ("other", 2)]
    assert len(alone) == len(report["rows"]) / 2
    wanted = by_hand(2, 1, MEAN).mean(0)[1]
    (got,) = (
        row["value"]
        for row in alone
        if (row["queries"], row["layer"], row["figure"]) == ("question", MEAN, "irrelevant")
    )
    assert got == pytest.approx(wanted, rel=1e-5)


def test_differences_are_paired():
    """Passages differ far more than variants do: paired, a small difference is told from 0."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.2, 0.6, size=(200, 3, 2, 6))
    other = base + rng.normal(0.01, 0.005, size=base.shape)
    rows = summarise({"base": base, "other": other}, np.arange(200), draws=1000)
    for row in rows:
        if row["variant"] == "other" and row["figure"] == "irrelevant":
            layer, query = (2 if row["layer"] == MEAN else row["layer"] - 1), QUERIES.index(row["queries"])
            each = (other - base)[:, layer, query, 1]
            half = 1.96 * each.std(ddof=1) / math.sqrt(200)
            assert row["difference"] == pytest.approx(each.mean())
            assert row["difference_low"] == pytest.approx(each.mean() - half, abs=0.1 * half)
            assert row["difference_high"] == pytest.approx(each.mean() + half, abs=0.1 * half)
            assert row["difference_low"] > 0 and row["high"] - row["low"] > 0.02


def test_other_numbers_of_layers_are_compared_by_their_means():
    base, other = (
        np.random.default_rng(0).uniform(0.1, 1, (5, 3, 2, 6)),
        np.random.default_rng(1).uniform(0.1, 1, (5, 5, 2, 6)),
    )
    rows = [row for row in summarise({"a": base, "b": other}, np.arange(5), 50) if row["variant"] == "b"]
    assert {row["layer"] for row in rows if row["difference"] is not None} == {MEAN}
    (row,) = (row for row in rows if (row["layer"], row["queries"], row["figure"]) == (MEAN, "all", "special"))
    assert row["difference"] == pytest.approx(other[:, -1, 0, 3].mean() - base[:, -1, 0, 3].mean())


def test_what_cannot_be_compared():
    one = run(bert(), "a")
    with pytest.raises(ValueError, match="all questions are on one context"):
        compare([one], PASSAGES[:1])
    with pytest.raises(ValueError, match="no passage has relevant, irrelevant and question tokens"):
        compare([one, ("b", {}, {})], PASSAGES)


def test_a_causal_model():
    """Its question comes first and sees no context; its context sees the question."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    model = LlamaForQuestionAnswering(LlamaConfig(vocab_size=16, max_position_embeddings=64, **sizes))
    marked = mark(PASSAGES, tokenizer(), 32, 2)
    for values in measure(model, tokenizer(), marked).values():
        np.testing.assert_allclose(values.sum(-1), 1, rtol=1e-5)
        assert (values[:, 1, :2] == 0).all() and (values[:, 0] > 0).all()


def test_no_attention_to_the_context():
    """The ratio of two zeros is none, and there is no picture of it."""
    values = np.full((4, 2, 2, 6), 0.2)
    values[:, :, 1, [0, 1, 4, 5]] = 0
    rows = summarise({"a": values}, np.arange(4), 20)
    assert {row["value"] for row in rows if (row["queries"], row["figure"]) == ("question", "density_ratio")} == {None}
    draw_relevance(rows, "all")
    with pytest.raises(ValueError, match="the words of the question give no attention to the context"):
        draw_relevance(rows, "question")


def test_the_picture_shows_the_rows():
    report = compare([run(bert(seed), name) for seed, name in enumerate("abc")], PASSAGES, draws=100)
    figure = draw_relevance(report["rows"], "all", "four passages", "dark")
    assert len(figure.axes) == 6
    wanted = {row["layer"]: row for row in report["rows"]
              if (row["variant"], row["queries"], row["figure"]) == ("c", "all", "irrelevant")}  # fmt: skip
    for axes, key, low, high in (
        (figure.axes[1], "value", "low", "high"),
        (figure.axes[4], "difference", "difference_low", "difference_high"),
    ):
        bars = next(each for each in axes.containers if each.get_label() == "c")
        np.testing.assert_allclose(bars.lines[0].get_ydata().astype(float), [wanted[layer][key] for layer in (1, 2)])
        assert np.abs(bars.lines[0].get_xdata().astype(float) - [1, 2]).max() < 0.5
        ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
        np.testing.assert_allclose(ends, [(wanted[layer][low], wanted[layer][high]) for layer in (1, 2)])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["a", "b", "c"] and "four passages" in figure.get_suptitle()
    assert figure.axes[3].get_ylabel() == "difference to a"
    assert len(draw_relevance(report["rows"][: len(report["rows"]) // 3], "question").axes) == 3


def test_real_model_on_real_passages(minilm, data_dir):
    """The batched masses are those of `capture`, passage by passage, with naive loops."""
    passages, _ = read_passages(data_dir / "squad" / "v1.1" / "dev.json", limit=4)
    model, _ = load_for_inference(str(minilm))
    words = AutoTokenizer.from_pretrained(minilm)
    marked = mark(passages, words, 384, 128)
    measured = measure(model, words, marked)
    for each in passages[:2]:
        seen = capture(model, words, each.question, each.context)
        assert len(seen.tokens) == len(marked[each.id].roles)
        for layer in (0, 5):
            wanted = naive_masses(seen.weights[layer], marked[each.id].roles)
            np.testing.assert_allclose(measured[each.id][layer], wanted, atol=1e-5)


def test_differences_are_those_to_the_first_variant():
    values = {name: np.full((4, 3, 2, 6), value) for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.4))}
    rows = [row for row in summarise(values, np.arange(4), 20) if row["figure"] == "irrelevant"]
    for name, difference in (("a", None), ("b", 0.1), ("c", 0.3)):
        found = [row["difference"] for row in rows if row["variant"] == name]
        assert found == [difference and pytest.approx(difference)] * len(found)

"""DeBERTa: the offset-indexed attention against stock eager attention, through every door a model is used by."""

import itertools
import shutil

import pytest
import torch
from transformers import AutoModel, DebertaV2Model
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder

from ginets import DebertaV2GIForQuestionAnswering, DebertaV2GIForTokenClassification, DebertaV2GIModel
from ginets.models.deberta_v2_gi.modeling_deberta_v2_gi import DebertaV2GIEncoder, DisentangledGISelfAttention
from tests import tiny
from tests.reference import disentangled as reference


IMPLEMENTATIONS = ["eager", "sdpa"]
# Real-sized weights, so that the relative terms matter: at the default range of 0.02 attention is nearly uniform.
STRONG = {"initializer_range": 0.2}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def pair(implementation: str = "sdpa", **settings) -> tuple[DebertaV2GIModel, DebertaV2Model]:
    """Our model without gates and the stock model, with the same weights."""
    settings = STRONG | settings
    ours = DebertaV2GIModel(tiny.config("deberta_v2_gi", attn_implementation=implementation, **settings))
    stock = DebertaV2Model(tiny.stock_config("deberta_v2_gi", **settings))
    stock.load_state_dict(ours.state_dict())
    return ours.eval(), stock.eval()


def padded(length: int = 11, padding: int = 4) -> dict[str, torch.Tensor]:
    batch = tiny.inputs(length=length)
    batch["attention_mask"][0, length - padding :] = 0
    return batch


def loss_and_gradients(model, batch, weight) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output at unpadded positions and the gradients of a weighted mean of it."""
    model.zero_grad()
    output = model(**batch).last_hidden_state * batch["attention_mask"][..., None]
    (output * weight).mean().backward()
    return output.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_same_as_stock(ours, stock, batch):
    weight = torch.randn(*batch["input_ids"].shape, ours.config.hidden_size)
    (found, grads), (expected, expected_grads) = (loss_and_gradients(m, batch, weight) for m in (ours, stock))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for name, grad in expected_grads.items():
        # A projection that takes no part has no gradient here; in stock it may have one of zeros.
        torch.testing.assert_close(grads.get(name, torch.zeros_like(grad)), grad, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("terms", "shared", "buckets"),
    itertools.product([[], ["c2p"], ["p2c"], ["p2c", "c2p"]], [True, False], [4, -1]),
)
def test_is_stock_attention(terms, shared, buckets, implementation):
    settings = {"pos_att_type": terms, "share_att_key": shared, "position_buckets": buckets}
    assert_same_as_stock(*pair(implementation, **settings), padded())


@pytest.mark.parametrize(
    "settings",
    [
        {"relative_attention": False},
        {"relative_attention": False, "pos_att_type": None, "position_biased_input": True},
        {"pos_att_type": None, "share_att_key": False},
        {"norm_rel_ebd": "none", "type_vocab_size": 2},
        {"conv_kernel_size": 3, "conv_act": "gelu"},
        {"max_relative_positions": 5, "position_buckets": -1},
        {"embedding_size": 16},
    ],
    ids=lambda settings: ",".join(f"{key}={value}" for key, value in settings.items()),
)
def test_is_stock_attention_in_other_shapes(settings):
    assert_same_as_stock(*pair(**settings), padded())


def test_is_stock_attention_over_several_blocks():
    assert_same_as_stock(*pair(position_buckets=16), padded(length=150, padding=9))


def test_dropouts_are_those_of_stock():
    """In the same places and in the same order, so the same seed gives the same outputs."""
    ours, stock = pair("eager")
    batch = padded()
    outputs = []
    for model in (ours.train(), stock.train()):
        torch.manual_seed(3)
        outputs.append(model(**batch).last_hidden_state * batch["attention_mask"][..., None])
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_output_attentions_are_real_under_every_implementation(implementation):
    ours, stock = pair(implementation)
    batch = tiny.inputs()
    found = ours(**batch, output_attentions=True, output_hidden_states=True)
    expected = stock(**batch, output_attentions=True, output_hidden_states=True)
    torch.testing.assert_close(found.attentions, expected.attentions, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.hidden_states, expected.hidden_states, rtol=0, atol=1e-5)
    assert ours.config._attn_implementation == implementation
    assert ours(**batch).attentions is None
    as_tuple = ours(**batch, output_attentions=True, output_hidden_states=True, return_dict=False)
    assert [type(x) for x in as_tuple] == [torch.Tensor, tuple, tuple]
    torch.testing.assert_close(as_tuple[2], found.attentions)


def test_output_attentions_in_the_config_are_refused_under_sdpa():
    ours, _ = pair("sdpa")
    with pytest.raises(ValueError, match="output_attentions"):
        ours.config.output_attentions = True


def test_three_dimensional_masks():
    ours, stock = pair(conv_kernel_size=0)
    states, mask = torch.randn(2, 6, 32), torch.ones(2, 6, 6).tril()
    found, expected = (model.encoder(states, mask).last_hidden_state for model in (ours, stock))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with_convolution = DebertaV2GIEncoder(tiny.config("deberta_v2_gi", conv_kernel_size=3)).eval()
    assert with_convolution(states, mask).last_hidden_state.isfinite().all()


def test_encoder_takes_query_states_and_returns_tuples():
    ours, stock = pair()
    states, queries, mask = torch.randn(2, 6, 32), torch.randn(2, 6, 32), torch.ones(2, 6)
    found, expected = (m.encoder(states, mask, query_states=queries, return_dict=False) for m in (ours, stock))
    assert len(found) == len(expected) == 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="relative_pos has shape"):
        ours.encoder(states, mask, relative_pos=torch.zeros(1, 6, 6, dtype=torch.long))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_half_precision_model_and_autocast(dtype, implementation):
    ours, _ = pair(implementation)
    batch = padded()
    expected = ours(**batch).last_hidden_state
    with torch.autocast("cpu", dtype):
        under_autocast = ours(**batch).last_hidden_state
    in_half = ours.to(dtype)(**batch).last_hidden_state
    for found in (under_autocast, in_half):
        difference = (found.float() - expected)[batch["attention_mask"].bool()]
        assert difference.abs().max() < 40 * torch.finfo(dtype).eps
    in_half.float().sum().backward()
    assert all(p.grad.isfinite().all() for p in ours.parameters() if p.grad is not None)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_float16_does_not_overflow(implementation):
    """Products of 80 000 before scaling, 29 000 after: beyond float16 and within it."""
    config = tiny.config("deberta_v2_gi", hidden_size=64, num_attention_heads=1, attn_implementation=implementation)
    encoder = DebertaV2GIEncoder(config).eval()
    attention = encoder.layer[0].attention.self
    with torch.no_grad():
        for projection in (attention.query_proj, attention.key_proj):
            projection.weight.copy_(torch.eye(64) * 35)
    states = torch.ones(1, 5, 64)
    offsets = encoder.get_rel_pos(states)
    mask = encoder.get_attention_mask(torch.ones(1, 5), states)
    table = torch.ones(encoder.rel_embeddings.weight.shape) * torch.linspace(0.9, 1, 8)[:, None]
    expected, _ = attention(states, mask, relative_pos=offsets, rel_embeddings=table)
    found, _ = attention.half()(states.half(), mask.half(), relative_pos=offsets, rel_embeddings=table.half())
    torch.testing.assert_close(found.float(), expected, rtol=0.01, atol=0.01)


def test_a_sequence_of_padding_only_stays_finite():
    for implementation, dtype in itertools.product(IMPLEMENTATIONS, (torch.float32, torch.float16)):
        ours, _ = pair(implementation)
        batch = tiny.inputs()
        batch["attention_mask"][1] = 0
        output = ours.to(dtype)(**batch).last_hidden_state
        output.float().sum().backward()
        assert output.isfinite().all()
        assert all(p.grad.isfinite().all() for p in ours.parameters() if p.grad is not None)


def test_compiles_to_one_graph():
    config = tiny.config("deberta_v2_gi", num_hidden_layers=2, gi_layer_num=1, **tiny.BOTH, **STRONG, **NO_DROPOUT)
    model = DebertaV2GIModel(config)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="eager")
    for length in (11, 14):
        batch = padded(length)
        weight = torch.randn(*batch["input_ids"].shape, 32)
        results = [loss_and_gradients(m, batch, weight) for m in (model, compiled)]
        torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=1e-5)
        grads = {name.removeprefix("_orig_mod."): grad for name, grad in results[1][1].items()}
        torch.testing.assert_close(grads, results[0][1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_exports_with_dynamic_batch_and_length(implementation):
    settings = {
        "max_relative_positions": 12,
        "position_buckets": 6,
        "conv_kernel_size": 3,
        "attn_implementation": implementation,
    }
    model = DebertaV2GIModel(tiny.config("deberta_v2_gi", **settings, **tiny.BOTH, **STRONG)).eval()
    model.config.return_dict = False
    axes = {0: torch.export.Dim("batch", min=1, max=64), 1: torch.export.Dim("length", min=2, max=64)}
    batch = padded()
    exported = torch.export.export(
        model, (), batch, dynamic_shapes={"input_ids": axes, "attention_mask": axes}
    ).module()
    for rows, length in ((1, 2), (3, 5), (2, 64)):  # shorter and longer than the table of relative positions
        batch = tiny.inputs(rows, length)
        batch["attention_mask"][-1, length // 2 + 1 :] = 0
        torch.testing.assert_close(exported(**batch)[0], model(**batch)[0], rtol=0, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="flex attention on a CPU is compiled with a C++ compiler")
def test_flex_attention_in_inference():
    model = DebertaV2GIModel(tiny.config("deberta_v2_gi", hidden_size=64, num_hidden_layers=1, **STRONG)).eval()
    batch = padded()
    with torch.no_grad():
        expected = model(**batch).last_hidden_state
        model.set_attn_implementation("flex_attention")
        found = model(**batch).last_hidden_state
    unpadded = batch["attention_mask"].bool()
    torch.testing.assert_close(found[unpadded], expected[unpadded], rtol=0, atol=1e-5)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing(reentrant):
    model = DebertaV2GIModel(tiny.config("deberta_v2_gi", **tiny.BOTH, **STRONG, **NO_DROPOUT)).train()
    batch = padded()
    weight = torch.randn(2, 11, 32)
    _, expected = loss_and_gradients(model, batch, weight)
    expected = {name: grad.clone() for name, grad in expected.items()}
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    _, found = loss_and_gradients(model, batch, weight)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_gates_act_on_the_content_of_all_three_terms():
    """Scores from the definition: gated query and key, ungated positions."""
    config = tiny.config("deberta_v2_gi", attn_implementation="eager", gi_layer_num=1, **tiny.BOTH, **STRONG)
    model = tiny.randomise(DebertaV2GIModel(config)).eval()
    attention = model.encoder.layer[-1].attention.self
    states, length = torch.randn(2, 6, 32), 6
    offsets = model.encoder.get_rel_pos(states)
    mask = model.encoder.get_attention_mask(torch.ones(2, length), states)
    table = model.encoder.get_rel_embedding()
    _, weights = attention(states, mask, output_attentions=True, relative_pos=offsets, rel_embeddings=table)

    def heads(x):
        return x.unflatten(-1, (4, 8)).transpose(-2, -3)

    query = heads(attention.gated(attention.query_proj(states), "q", states))
    key = heads(attention.gated(attention.key_proj(states), "k", states))
    rows = [reference.table_row(d, 4, 4, 64) for d in range(1 - length, length)]
    pos_key, pos_query = (heads(projection(table[rows])) for projection in (attention.key_proj, attention.query_proj))
    scores = query @ key.transpose(2, 3) + reference.disentangled_bias(query, key, pos_key, pos_query)
    torch.testing.assert_close(weights, (scores / (3 * 8) ** 0.5).softmax(-1), rtol=0, atol=1e-5)
    gated = [isinstance(layer.attention.self, DisentangledGISelfAttention) for layer in model.encoder.layer]
    assert gated == [False, False, True]
    assert not torch.allclose(query, heads(attention.query_proj(states)))


def test_a_lora_on_a_shared_projection_acts_on_positions_too():
    peft = pytest.importorskip("peft")
    model = DebertaV2GIModel(tiny.config("deberta_v2_gi", **tiny.BOTH, **STRONG)).eval()
    lora = peft.LoraConfig(target_modules=["query_proj", "key_proj"], r=2, init_lora_weights=False)
    adapted = peft.get_peft_model(model, lora).eval()
    batch = padded()
    expected = adapted(**batch).last_hidden_state
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(**batch).last_hidden_state, expected, rtol=0, atol=1e-5)


def test_tensors_are_those_of_stock_and_survive_saving(tmp_path):
    ours, stock = pair()
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in stock.state_dict().items()}
    stock.save_pretrained(tmp_path / "stock")
    from_stock, info = DebertaV2GIModel.from_pretrained(tmp_path / "stock", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    from_stock.save_pretrained(tmp_path / "ours")
    reloaded = AutoModel.from_pretrained(tmp_path / "ours")
    assert isinstance(reloaded, DebertaV2GIModel)
    batch = tiny.inputs()
    torch.testing.assert_close(reloaded(**batch).last_hidden_state, ours(**batch).last_hidden_state)


@pytest.mark.parametrize("head", [DebertaV2GIForTokenClassification, DebertaV2GIForQuestionAnswering])
def test_attention_implementation_of_heads(head, tmp_path):
    model = head(tiny.config("deberta_v2_gi"))
    assert model.config._attn_implementation == "sdpa"  # the default, as for every model that has it
    model.save_pretrained(tmp_path)
    for name in (*IMPLEMENTATIONS, "flex_attention"):
        loaded = head.from_pretrained(tmp_path, attn_implementation=name)
        assert loaded.deberta.config._attn_implementation == name
    with pytest.raises(ValueError, match="Flash Attention"):
        head.from_pretrained(tmp_path, attn_implementation="flash_attention_2")


def test_a_batch_gives_what_its_rows_give():
    ours, _ = pair()
    batch = padded()
    together = ours(**batch).last_hidden_state
    alone = ours(batch["input_ids"][:1, :7]).last_hidden_state
    torch.testing.assert_close(together[:1, :7], alone, rtol=0, atol=1e-5)


def test_encoder_is_a_stock_encoder_with_other_attention():
    ours, stock = pair()
    assert isinstance(ours.encoder, DebertaV2Encoder)
    assert [type(m) for m in ours.encoder.layer] == [type(m) for m in stock.encoder.layer]

"""What the stock classes support, ours do: backends, compilation, export, half precision, checkpointing, adapters."""

import copy
from itertools import combinations

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

import ginets
from tests.tiny import (
    BOTH,
    BY_TYPE,
    backbone_class,
    config,
    head_inputs,
    inputs,
    randomise,
    stock_backbone_class,
    stock_config,
)


ON = {
    kind: {"ina_target_modules": ["q_proj", "v_proj", "down_proj"]} if kind == "llama_ina" else BOTH
    for kind in BY_TYPE
}
QUERY = {"bert_gi": "query", "roberta_gi": "query", "deberta_v2_gi": "query_proj", "llama_ina": "q_proj"}


def build(model_type, head="Model", **flags):
    family = BY_TYPE[model_type]
    model = getattr(ginets, family.prefix + head)(config(model_type, **ON[model_type] | flags))
    return randomise(model, 0.2).eval()


@pytest.mark.parametrize("model_type", BY_TYPE)
@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_attention_backends_agree_with_eager(model_type, attention, request):
    if attention == "flex_attention":
        request.getfixturevalue("cpp_compiler")
    model = build(model_type)
    given = inputs(2, 16)
    given["attention_mask"][0, 11:] = 0
    keep = given["attention_mask"].bool()
    outputs = []
    for implementation in ("eager", attention):
        model.set_attn_implementation(implementation)
        with torch.no_grad():
            outputs.append(model(**given)[0][keep])
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_compile_as_one_graph(model_type):
    model = build(model_type)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    results = []
    for each in (model, compiled):
        output = each(**inputs())[0]
        output.square().mean().backward()
        # a parameter that is not used has no gradient, or zeros from a compiled graph
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in each.parameters()]
        results.append((output.detach(), grads))
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-4, atol=1e-5)
    for grad, reference in zip(results[1][1], results[0][1], strict=True):
        torch.testing.assert_close(grad, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_export_with_dynamic_shapes(model_type):
    model = build(model_type)
    cache = {"use_cache": False} if model_type == "llama_ina" else {}
    batch, length = torch.export.Dim("batch", min=2, max=16), torch.export.Dim("length", min=4, max=32)
    given = inputs(2, 9)
    shapes = {name: {0: batch, 1: length} for name in given} | dict.fromkeys(cache)
    program = torch.export.export(model, (), given | cache, dynamic_shapes=shapes, strict=False)
    other = inputs(3, 14)
    torch.testing.assert_close(program.module()(**other, **cache)[0], model(**other, **cache)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model_type", BY_TYPE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_half_weights(model_type, dtype):
    model = build(model_type, "ForSequenceClassification")
    given = head_inputs(model)
    full = model(**given).logits
    with torch.autocast("cpu", dtype=dtype):
        output = model(**given)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    half = copy.deepcopy(model).to(dtype)(**given).logits
    for logits in (output.logits, half):
        torch.testing.assert_close(logits.float(), full, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("model_type", BY_TYPE)
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(model_type, reentrant):
    model = build(model_type, "ForSequenceClassification").train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    grads = []
    for on in (False, True):
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model.zero_grad()
        model(**head_inputs(model)).loss.backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*grads, strict=True):
        torch.testing.assert_close(checkpointed, plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_gradient_checkpointing_from_the_config(model_type):
    """The old switch in the config: the stock parts use it up while they are built and are then replaced."""
    plain = BY_TYPE[model_type].prefix + "ForSequenceClassification"
    for on in (True, False):
        model = getattr(ginets, plain)(config(model_type, gradient_checkpointing=on, **ON[model_type]))
        assert model.is_activation_checkpointing == on


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_output_attentions_and_hidden_states(model_type):
    model = build(model_type)
    model.set_attn_implementation("eager")
    output = model(**inputs(2, 6), output_attentions=True, output_hidden_states=True)
    assert [a.shape for a in output.attentions] == [(2, 4, 6, 6)] * 3
    assert [h.shape for h in output.hidden_states] == [(2, 6, 32)] * 4
    for weights in output.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 6))


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_resize_token_embeddings(model_type):
    model = build(model_type, "ForSequenceClassification")
    before = model(**head_inputs(model)).logits
    model.resize_token_embeddings(120)
    assert model.config.vocab_size == 120 and model.get_input_embeddings().num_embeddings == 120
    torch.testing.assert_close(model(**head_inputs(model)).logits, before)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_sharded_safetensors(model_type, tmp_path):
    model = build(model_type)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 and not list(tmp_path.glob("*.bin"))
    loaded = backbone_class(model_type).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**inputs())[0], model(**inputs())[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", ["BertGIForMaskedLM", "RobertaGIForMaskedLM", "DebertaV2GIForMaskedLM"])
def test_tied_weights(head, tmp_path):
    kind = next(kind for kind, family in BY_TYPE.items() if head.startswith(family.prefix))
    model = getattr(ginets, head)(config(kind, **BOTH))
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    for each in (model, loaded):
        assert each.get_output_embeddings().weight is each.get_input_embeddings().weight


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_lora_on_a_projection_merges_exactly(model_type):
    """The projections stay plain, so an adapter's delta goes inside the gate whether merged or not."""
    peft = pytest.importorskip("peft")
    model = build(model_type)
    before = model(**inputs())[0]
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=[QUERY[model_type]])).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3)
    unmerged = adapted(**inputs())[0]
    merged = adapted.merge_and_unload()(**inputs())[0]
    assert (unmerged - before).abs().max() > 1e-2
    torch.testing.assert_close(merged, unmerged, rtol=0, atol=1e-5)


@pytest.mark.parametrize("targets", [["q_proj"], r".*q_proj", r".*\.(q|v)_proj"])
def test_adapters_for_a_projection_leave_its_branch_alone(targets):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(build("llama_ina"), peft.LoraConfig(r=2, target_modules=targets))
    names = [name for name, _ in adapted.named_parameters() if "lora_" in name]
    assert names and not any("_ina" in name for name in names)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_functional_gradients_and_tracing(model_type):
    """`torch.func` and `torch.jit.trace` know operations, not hand-written autograd functions."""
    model = build(model_type)
    parameters = dict(model.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(model, parameters, kwargs=inputs())[0].square().mean()

    grads = torch.func.grad(loss)(parameters)
    loss(parameters).backward()
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-4, atol=1e-6)
    if model_type != "llama_ina":  # a stock Llama returns a cache, which cannot be traced
        traced = torch.jit.trace(model, example_kwarg_inputs=inputs(), strict=False)
        assert "GateProjection" not in str(traced.inlined_graph)
        torch.testing.assert_close(traced(**inputs())["last_hidden_state"], model(**inputs())[0])


@pytest.mark.parametrize("model_type", ["bert_gi", "roberta_gi", "llama_ina"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_dropout_is_where_the_stock_model_has_it(model_type, attention):
    """At the start, in training mode, one seed gives what the stock model gives."""
    dropout = {"attention_dropout": 0.3} if model_type == "llama_ina" else {"attention_probs_dropout_prob": 0.3}
    stock = stock_backbone_class(model_type)(stock_config(model_type, attn_implementation=attention, **dropout))
    ours = backbone_class(model_type)(config(model_type, attn_implementation=attention, **dropout, **ON[model_type]))
    ours.load_state_dict(stock.state_dict(), strict=False)
    outputs = []
    for model in (stock, ours):
        torch.manual_seed(5)
        outputs.append(model.train()(**inputs())[0])
    assert torch.equal(*outputs) and not torch.equal(outputs[0], stock.eval()(**inputs())[0])


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_missing_weights_are_initialised(model_type, tmp_path):
    """Weights that a stock checkpoint lacks are initialised, never left as memory happens to be."""
    stock_backbone_class(model_type)(stock_config(model_type)).save_pretrained(tmp_path)
    loaded = backbone_class(model_type).from_pretrained(tmp_path, config=config(model_type, **ON[model_type]))
    assert all(p.isfinite().all() and p.abs().max() < 10 and p.device.type == "cpu" for p in loaded.parameters())


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_a_fresh_head_starts_as_in_the_stock_model_of_the_same_seed(model_type, tmp_path):
    """Whatever is drawn for the mechanism."""
    stock_backbone_class(model_type)(stock_config(model_type)).save_pretrained(tmp_path)
    models = []
    for settings in (stock_config(model_type), config(model_type, **ON[model_type])):
        torch.manual_seed(5)
        models.append(AutoModelForSequenceClassification.from_pretrained(tmp_path, config=settings))
    stock, ours = (dict(model.named_parameters()) for model in models)
    assert all(torch.equal(parameter, ours[name]) for name, parameter in stock.items())
    drawn = [ours[name] for name in ours.keys() - stock.keys() if ours[name].any()]
    assert len(drawn) > 1 and not any(torch.equal(*pair) for pair in combinations(drawn, 2))
    for weight in drawn:
        spread = (3 * weight.shape[1]) ** -0.5 if model_type == "llama_ina" else models[1].config.initializer_range
        assert abs(weight.std() / spread - 1) < 0.25 and abs(weight.mean()) < 0.25 * spread
    torch.manual_seed(6)
    other = dict(type(models[1])(models[1].config).named_parameters())
    assert not any(torch.equal(other[name], ours[name]) for name in ours.keys() - stock.keys() if ours[name].any())


@pytest.mark.parametrize("model_type", ["bert_gi", "roberta_gi", "llama_ina"])
def test_generate(model_type):
    head = {"bert_gi": "LMHeadModel"}.get(model_type, "ForCausalLM")
    decoder = {} if model_type == "llama_ina" else {"is_decoder": True}
    model = build(model_type, head, **decoder)
    ids = inputs(2, 5)["input_ids"]
    options = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    cached = model.generate(ids, **options)
    assert torch.equal(model.generate(ids, use_cache=False, **options), cached)
    assert model.generate(ids, num_beams=3, **options).shape == (2, 13)


def test_subclassing_like_a_stock_class():
    """A head of one's own on a gated backbone, written the usual way."""
    from transformers import BertPreTrainedModel

    from ginets.models.bert_gi.modeling_bert_gi import BertGIMixin

    class Scorer(BertGIMixin, BertPreTrainedModel):
        def __init__(self, config):
            super().__init__(config)
            self.bert = ginets.BertGIModel(config)
            self.score = nn.Linear(config.hidden_size, 1)
            self.post_init()

        def forward(self, **given):
            return self.score(self.bert(**given).pooler_output)

    model = Scorer(config("bert_gi", **BOTH))
    assert model.bert.encoder.layer[0].attention.self.select_q.weight.abs().max() == 0
    assert model(**inputs()).shape == (2, 1)

"""Llama with inhibited branches: the real tiny Llama's text, the formula, LoRA at p = 0, caching, label shift."""

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaForCausalLM, Trainer, TrainingArguments

from ginets import LlamaInAConfig, LlamaInAForCausalLM, LlamaInAModel
from ginets.models.inhibited import InhibitedLowRank
from tests.reference.gates import attach_branches, branch
from tests.stories import decode, load_stories
from tests.tiny import BOTH, config, inputs, randomise, stock_config


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PLACES = [BOTH, {"gi_query_side": True}, {"ina_target_modules": ALL}]


def pair(**flags):
    stock = LlamaForCausalLM(stock_config("llama_ina")).eval()
    ours = LlamaInAForCausalLM(config("llama_ina", **flags)).eval()
    missing, unexpected = ours.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected and all("_ina." in name for name in missing)
    return stock, ours


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("flags", [{}, *PLACES], ids=str)
def test_identity_at_start(attention, flags):
    stock, ours = pair(**flags)
    for model in (stock, ours):
        model.set_attn_implementation(attention)
    assert torch.equal(ours(**inputs()).logits, stock(**inputs()).logits)


@pytest.mark.parametrize("level", [0, 0.3])
@pytest.mark.parametrize("flags", PLACES, ids=str)
def test_the_formula_in_values_and_gradients(level, flags):
    stock, ours = pair(inhibition_level=level, ina_rank=4, ina_alpha=6, gi_layer_num=2, **flags)
    randomise(ours)
    stock.load_state_dict(ours.state_dict(), strict=False)
    attach_branches(stock, ours)
    own = {name: p for name, p in ours.named_parameters() if "_ina." in name}
    assert {int(name.split(".")[2]) for name in own} == {1, 2}
    results = []
    for model in (ours, stock):
        ours.zero_grad(), stock.zero_grad()
        logits = model(**inputs()).logits
        logits.square().mean().backward()
        shared = [p.grad.clone() for name, p in model.named_parameters() if name not in own]
        results.append((logits.detach(), [p.grad.clone() for p in own.values()], shared))
    (value, grads, shared), (value_, grads_, shared_) = results
    torch.testing.assert_close(value, value_, rtol=1e-5, atol=1e-5)
    for grad, reference in zip(grads + shared, grads_ + shared_, strict=True):
        torch.testing.assert_close(grad, reference, rtol=1e-4, atol=1e-5)
    assert all(grad.abs().sum() > 0 for grad in grads)


def test_at_level_zero_it_is_lora():
    """Same weights in PEFT's LoRA on the stock model: same logits."""
    peft = pytest.importorskip("peft")
    stock, ours = pair(inhibition_level=0, ina_rank=4, ina_alpha=6, ina_target_modules=["q_proj", "down_proj"])
    randomise(ours)
    stock.load_state_dict(ours.state_dict(), strict=False)
    lora = peft.get_peft_model(
        stock, peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"])
    ).eval()
    weights = {
        name.replace("base_model.model.", "").replace(".default", "").replace("lora_", ""): parameter
        for name, parameter in lora.named_parameters()
        if "lora_" in name
    }
    held = {name.replace("_ina.", "."): p for name, p in ours.named_parameters() if "_ina." in name}
    assert weights.keys() == held.keys()
    with torch.no_grad():
        for name, parameter in weights.items():
            parameter.copy_(held[name])
    torch.testing.assert_close(lora(**inputs()).logits, ours(**inputs()).logits, rtol=0, atol=1e-6)


def test_tells_the_real_story(data_dir):
    """B = 0 on the real pretrained Llama: the documented greedy text, character for character."""
    folder = data_dir / "checkpoints" / "stories260K"
    stock = load_stories(folder)
    flags = {name: value for name, value in stock.config.to_dict().items() if name != "model_type"}
    ours = LlamaInAForCausalLM(LlamaInAConfig.from_dict(flags | {"ina_target_modules": ALL})).eval()
    ours.load_state_dict(stock.state_dict(), strict=False)
    ids = ours.generate(torch.tensor([[1]]), max_new_tokens=256, do_sample=False, eos_token_id=None)
    assert decode(folder, ids[0, 1:].tolist()) == (folder / "expected.txt").read_text(encoding="utf-8")
    # and it is no accident: with live branches it tells something else
    other = randomise(ours).generate(torch.tensor([[1]]), max_new_tokens=256, do_sample=False, eos_token_id=None)
    assert not torch.equal(ids, other)


def test_no_leakage_and_exact_caching():
    model = randomise(LlamaInAForCausalLM(config("llama_ina", ina_target_modules=ALL, inhibition_level=0.9))).eval()
    ids = inputs(3, 10)["input_ids"]
    full = model(ids).logits
    torch.testing.assert_close(model(ids[:1]).logits, full[:1], rtol=1e-4, atol=1e-4)
    changed = ids.clone()
    changed[:, 6:] = 7
    torch.testing.assert_close(model(changed).logits[:, :6], full[:, :6], rtol=0, atol=1e-6)
    padded = torch.cat([torch.zeros(3, 4, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(14) >= 4).long().expand(3, -1)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    left = model(padded, attention_mask=mask, position_ids=positions).logits[:, 4:]
    torch.testing.assert_close(left, full, rtol=1e-4, atol=1e-4)
    cache = DynamicCache(config=model.config)
    steps = [model(ids[:, i : i + 1], past_key_values=cache, use_cache=True).logits for i in range(10)]
    torch.testing.assert_close(torch.cat(steps, dim=1), full, rtol=1e-4, atol=1e-4)


def test_start_and_plain_projections():
    model = LlamaInAModel(config("llama_ina", ina_target_modules=ALL))
    branches = {name: p for name, p in model.named_parameters() if "_ina." in name}
    assert len(branches) == 3 * 7 * 2
    for name, parameter in branches.items():
        if name.endswith(".B.weight"):
            assert parameter.abs().max() == 0
        else:  # Kaiming uniform with a = sqrt(5): U(±1/sqrt(in))
            bound = parameter.shape[1] ** -0.5
            assert 0.5 * bound < parameter.abs().max() <= bound
    assert type(model.layers[0].self_attn.q_proj) is nn.Linear and type(model.layers[0].mlp.up_proj) is nn.Linear


def test_dropout_acts_on_the_branch_alone():
    flags = {"ina_target_modules": ["v_proj"], "ina_dropout": 0.5}
    model = LlamaInAModel(config("llama_ina", **flags)).train()
    silent = [model(**inputs())[0] for _ in range(2)]
    assert torch.equal(*silent)  # B = 0: the dropout draws do not show
    randomise(model)
    assert not torch.equal(*(model(**inputs())[0] for _ in range(2)))
    model.eval()
    assert torch.equal(*(model(**inputs())[0] for _ in range(2)))


def test_dropout_acts_on_the_input_once():
    """y = s·B·leaky_relu(A·dropout(x) − …): one draw, before A."""
    held = InhibitedLowRank(32, 16, config("llama_ina", ina_rank=4, ina_dropout=0.5)).train()
    with torch.no_grad():
        held.B.weight.normal_()
    hidden_states = torch.randn(2, 5, 32)
    torch.manual_seed(3)
    output = held(hidden_states)
    torch.manual_seed(3)
    dropped = nn.functional.dropout(hidden_states, 0.5)
    torch.testing.assert_close(output, branch(dropped, held.A.weight, held.B.weight, 0.3, 4.0))


def test_label_smoothing_shifts_the_labels(tmp_path):
    """`Trainer` shifts labels under label smoothing only for classes in transformers' table of causal models."""
    arguments = TrainingArguments(tmp_path, label_smoothing_factor=0.1, report_to=[], use_cpu=True)
    given = inputs(2, 8)
    losses = []
    for model in pair(**BOTH):
        trainer = Trainer(model, arguments)
        losses.append(trainer.compute_loss(model, given | {"labels": given["input_ids"]}).item())
    assert losses[0] == losses[1]
    logits = model(**given).logits[:, :-1].log_softmax(-1)
    nll = -logits.gather(-1, given["input_ids"][:, 1:, None]).mean()
    assert losses[1] == pytest.approx((0.9 * nll - 0.1 * logits.mean()).item(), rel=1e-5)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
            "rope_theta": 500000.0,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 4])
def test_variants_of_llama(rope, tied, kv_heads):
    shape = {"rope_parameters": rope, "tie_word_embeddings": tied, "num_key_value_heads": kv_heads, "head_dim": 12}
    stock = LlamaForCausalLM(stock_config("llama_ina", **shape)).eval()
    ours = LlamaInAForCausalLM(config("llama_ina", ina_target_modules=ALL, **shape)).eval()
    ours.load_state_dict(stock.state_dict(), strict=False)
    assert torch.equal(ours(**inputs()).logits, stock(**inputs()).logits)
    assert (ours.lm_head.weight is ours.model.embed_tokens.weight) == tied


def test_the_plan_for_tensor_parallelism_names_every_branch():
    """B is cut where the projection's outputs are, A where its inputs are; the other one is replicated."""
    plan = config("llama_ina").base_model_tp_plan
    model = LlamaInAModel(config("llama_ina", ina_target_modules=ALL))
    for name, _ in model.named_modules():
        if name.rpartition(".")[2].endswith("_ina"):
            place = (
                name.replace("layers.0", "layers.*").replace("layers.1", "layers.*").replace("layers.2", "layers.*")
            )
            cut = {part: plan.get(f"{place}.{part}") for part in ("A", "B")}
            row = name.endswith(("o_proj_ina", "down_proj_ina"))
            assert cut == ({"A": "rowwise", "B": None} if row else {"A": None, "B": "colwise"})

"""What is trained beside an adapter, and with which learning rate and weight decay."""

import pytest
import torch
from peft import LoraConfig, VeraConfig
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from ginets.recipes.adapted import (
    ADAPTER,
    BODY,
    HEAD,
    MECHANISM,
    attach,
    check_fit,
    count_trainable,
    fit_autocast,
    modules_to_train,
    part_of,
)
from ginets.recipes.arguments import ArgumentsError
from ginets.recipes.heads import CLASSIFICATION
from ginets.recipes.optimizer import split_groups
from tests import tiny


def load(model_type: str, folder, **flags):
    """A model on stock weights without a head, and what was not among them."""
    tiny.stock_backbone_class(model_type)(tiny.stock_config(model_type)).save_pretrained(folder)
    config = tiny.config(model_type, **flags) if flags else tiny.stock_config(model_type)
    model, found = AutoModelForSequenceClassification.from_pretrained(folder, config=config, output_loading_info=True)
    return model, frozenset(found["missing_keys"])


@pytest.mark.parametrize(
    ("model_type", "flags", "expected"),
    [
        ("bert_gi", {}, ["classifier"]),
        ("roberta_gi", {}, ["classifier"]),
        ("deberta_v2_gi", {}, ["pooler", "classifier"]),
        ("bert_gi", {"gi_key_side": True}, ["classifier", "inhibition_k", "select_k"]),
        (
            "deberta_v2_gi",
            {"gi_query_side": True, "gi_layer_num": 1},
            ["pooler", "classifier", "inhibition_q", "select_q"],
        ),
        ("llama_ina", {"ina_target_modules": ["q_proj"]}, ["score", "q_proj_ina"]),
    ],
)
def test_head_and_fresh_modules_are_trained(model_type, flags, expected, tmp_path):
    model, fresh = load(model_type, tmp_path, **flags)
    assert modules_to_train(model, fresh) == expected
    adapted = attach(model, LoraConfig(task_type="SEQ_CLS"), fresh)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    plain = {name.replace("modules_to_save.default.", "").removeprefix("base_model.model.") for name in trained}
    assert {name for name in plain if "lora_" not in name} == fresh
    assert part_of("base_model.model." + min(fresh), adapted) in (HEAD, BODY)


def test_a_fresh_pooler_within_the_backbone(tmp_path):
    """Its layer is called `dense` as many others are: the name that is given must not catch them."""
    model, fresh = load("bert_gi", tmp_path)
    fresh |= {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert modules_to_train(model, fresh) == ["classifier", "pooler"]


def test_own_choice_of_modules_replaces_this(tmp_path):
    model, fresh = load("deberta_v2_gi", tmp_path)
    adapted = attach(model, LoraConfig(task_type="SEQ_CLS", modules_to_save=["LayerNorm"]), fresh)
    trained = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert not any("pooler" in name for name in trained) and any("LayerNorm" in name for name in trained)
    assert any("classifier" in name for name in trained)  # PEFT sees to this one


def test_vera_in_a_deberta_under_autocast(tmp_path):
    """Scores and gradients are those of float32, as far as bfloat16 goes."""
    model, fresh = load("deberta_v2_gi", tmp_path)
    config = VeraConfig(r=8, target_modules=["query", "key", "value"], init_weights=False, task_type="SEQ_CLS")
    adapted = fit_autocast(attach(model, config, fresh)).eval()
    trained = {name: weight for name, weight in adapted.named_parameters() if "vera_lambda" in name}
    outputs, grads = [], []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs.append(adapted(**tiny.inputs()).logits)
        grads.append(torch.autograd.grad(outputs[-1].float().square().sum(), list(trained.values())))
    torch.testing.assert_close(outputs[1].float(), outputs[0], rtol=0.05, atol=0.02)
    for name, exact, found in zip(trained, *grads, strict=True):
        assert torch.nn.functional.cosine_similarity(exact.flatten(), found.flatten(), dim=0) > 0.95, name


@pytest.mark.parametrize("adapted", [True, False])
def test_groups_of_the_optimizer(adapted, tmp_path):
    """Each parameter once; its rate by part, its decay as the Trainer decides; updates are those of AdamW."""
    model, fresh = load("deberta_v2_gi", tmp_path, gi_query_side=True)
    if adapted:
        model = attach(model, LoraConfig(task_type="SEQ_CLS", bias="lora_only"), fresh)
    args = TrainingArguments(str(tmp_path), learning_rate=1e-3, weight_decay=0.1, use_cpu=True)
    stock = Trainer(model, args).create_optimizer()
    decays = {id(p): group["weight_decay"] for group in stock.param_groups for p in group["params"]}
    optimizer = Trainer(model, args).create_optimizer()
    split_groups(optimizer, model, {ADAPTER: 1e-2, HEAD: 1e-1, MECHANISM: 1e-4})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert name not in seen
            seen[name] = group["lr"]
            assert group["weight_decay"] == decays[id(parameter)]
            is_head = "pooler" in name or "classifier" in name
            is_gate = "inhibition_q" in name or "select_q" in name
            assert group["lr"] == (1e-2 if "lora_" in name else 1e-1 if is_head else 1e-4 if is_gate else 1e-3)
    assert seen.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {1e-1, 1e-3, 1e-4} <= set(seen.values()) and (1e-2 in seen.values()) == adapted

    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer.step()
    for name, parameter in model.named_parameters():
        if name not in seen:
            assert torch.equal(parameter, before[name])
            continue
        rate, gradient = seen[name], gradients[name]  # the first step of AdamW: its moments are the gradient itself
        expected = before[name] * (1 - rate * decays[id(parameter)]) - rate * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_without_own_rates_nothing_changes(tmp_path):
    model, _ = load("bert_gi", tmp_path)
    optimizer = Trainer(model, TrainingArguments(str(tmp_path), use_cpu=True)).create_optimizer()
    before = [(len(group["params"]), group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    split_groups(optimizer, model, {ADAPTER: None, HEAD: None, MECHANISM: None})
    assert [(len(group["params"]), group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == before


def test_an_adapter_on_a_gate_has_the_rate_of_the_adapter(tmp_path):
    model, fresh = load("bert_gi", tmp_path, gi_key_side=True)
    model = attach(model, LoraConfig(task_type="SEQ_CLS", target_modules=["inhibition_k"], modules_to_save=[]), fresh)
    optimizer = Trainer(model, TrainingArguments(str(tmp_path), use_cpu=True)).create_optimizer()
    split_groups(optimizer, model, {ADAPTER: 1e-2, MECHANISM: 1e-4})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates = {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rate for name, rate in rates.items() if "inhibition_k.lora_" in name} == {1e-2}


def test_counts(tmp_path):
    model, fresh = load("deberta_v2_gi", tmp_path)
    hidden = tiny.SIZES["hidden_size"]
    head = hidden * hidden + hidden + 2 * hidden + 2  # pooler and classifier
    assert count_trainable(model)["trainable_parameters_without_head"] == model.num_parameters() - head
    adapted = attach(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query_proj"]), fresh)
    lora = tiny.SIZES["num_hidden_layers"] * 2 * 2 * hidden
    assert count_trainable(adapted) == {"trainable_parameters": lora + head, "trainable_parameters_without_head": lora}


@pytest.mark.parametrize(("model_type", "ending"), [("bert_gi", ""), ("deberta_v2_gi", "_proj")])
@pytest.mark.parametrize("flags", [{}, tiny.BOTH])
def test_the_same_names_serve_all_encoders(model_type, ending, flags, tmp_path):
    model, _ = load(model_type, tmp_path, **flags)
    adapted = attach(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"]))
    found = {name.rpartition(".")[2] for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    assert found == {f"query{ending}", f"value{ending}"} == adapted.active_peft_config.target_modules


@pytest.mark.parametrize(
    ("targets", "spelt"), [(r".*\.(query|key)_proj", "key query"), ("all-linear", "key query value")]
)
def test_patterns_are_taken_as_they_are(targets, spelt, tmp_path):
    model, _ = load("deberta_v2_gi", tmp_path)
    adapted = attach(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=targets))
    found = {name.rpartition(".")[2] for name, module in adapted.named_modules() if hasattr(module, "lora_A")}
    assert found >= {f"{name}_proj" for name in spelt.split()}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"target_modules": ["q_proj"]}, "does not fit .model type bert, --target_modules q_proj.: No modules"),
        ({"target_modules": ["query", "LayerNorm"]}, "--target_modules LayerNorm query.: .* is not supported"),
    ],
)
def test_what_does_not_fit_is_found_without_weights(config, says):
    with pytest.raises(ArgumentsError, match=says):
        check_fit(LoraConfig(task_type="SEQ_CLS", **config), tiny.stock_config("bert_gi"), CLASSIFICATION)

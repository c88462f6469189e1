"""Llama + InA adapter → native LlamaInA: same outputs, loadable without PEFT, refusals by name."""

import subprocess
import sys

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, LlamaForCausalLM, LlamaModel

import ginets
from ginets import InAConfig, LlamaInAForCausalLM
from ginets.tuners.fold import find_tokenizer
from tests.stories import load_stories
from tests.tiny import inputs, stock_config


ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def adapted(base=None, **fields) -> PeftModel:
    """A tiny Llama with a live adapter."""
    base = base or LlamaForCausalLM(stock_config("llama_ina"))
    model = get_peft_model(base, InAConfig(**{"target_modules": ["q_proj", "down_proj"]} | fields)).eval()
    return enliven(model)


def enliven(model: PeftModel) -> PeftModel:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ina_" in name or ".modules_to_save." in name:
                parameter.normal_(std=0.3)
    return model


def check_same(native, model, **given):
    """Same outputs, and not those of the base."""
    given = given or inputs()
    ours, theirs = native(**given), model(**given)
    name = "logits" if "logits" in theirs else "start_logits" if "start_logits" in theirs else "last_hidden_state"
    torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-5)
    with model.disable_adapter():
        assert not torch.allclose(model(**given)[name], theirs[name], atol=1e-3)


@pytest.mark.parametrize("fields", [
    {},
    {"inhibition_level": 0},
    {"inhibition_level": 0, "activation": "gelu", "rescale": True},  # options that p = 0 does not use
    {"inhibition_level": 0.9, "target_modules": ALL, "r": 3, "ina_alpha": 5},
    {"use_rslora": True},
    {"rescale": True},
    {"layers_to_transform": [1, 2]},
    {"layers_to_transform": 2},
    {"rank_pattern": {"q_proj": 5, "down_proj": 5}},  # patterns that come out even
    {"modules_to_save": ["lm_head", "norm"]},
    {"modules_to_save": ["embed_tokens"]},
    {"ina_dropout": 0.1},
], ids=str)  # fmt: skip
def test_same_outputs(fields):
    model = adapted(**fields)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    native = ginets.fold(model)
    assert type(native) is LlamaInAForCausalLM and native.config.model_type == "llama_ina" and not native.training
    check_same(native, model)
    assert native.config.ina_dropout == fields.get("ina_dropout", 0)
    # neither shares a tensor with the other nor has touched it
    with torch.no_grad():
        for parameter in native.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("head", ["Model", "ForCausalLM", "ForSequenceClassification", "ForTokenClassification",
                                  "ForQuestionAnswering"])  # fmt: skip
def test_every_head(head, tmp_path):
    tasks = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS"}
    base = getattr(transformers, f"Llama{head}")(stock_config("llama_ina", num_labels=3))
    model = adapted(base, task_type=tasks.get(head))
    native = ginets.fold(model, tmp_path)
    assert type(native).__name__ == f"LlamaInA{head}"
    check_same(native, model)
    loaded = getattr(transformers, f"Auto{head if head == 'Model' else 'Model' + head}").from_pretrained(tmp_path)
    assert type(loaded) is type(native)
    check_same(loaded.eval(), model)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("saved", [None, ["lm_head"], ["embed_tokens"]])
def test_tied_embeddings(tied, saved, tmp_path):
    """Trained apart, they are no longer tied."""
    base = LlamaForCausalLM(stock_config("llama_ina", tie_word_embeddings=tied))
    model = adapted(base, modules_to_save=saved)
    native = ginets.fold(model, tmp_path)
    assert native.config.tie_word_embeddings == (tied and saved is None)
    check_same(native, model)
    check_same(AutoModelForCausalLM.from_pretrained(tmp_path).eval(), model)


def test_the_real_llama_generates_the_same(data_dir, tmp_path):
    """In a fresh process that has no PEFT, too."""
    model = adapted(load_stories(data_dir / "checkpoints" / "stories260K"), target_modules=ALL)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".ina_B." in name:
                parameter.mul_(0.1)
    start, options = torch.tensor([[1]]), {"max_new_tokens": 64, "do_sample": False, "eos_token_id": None}
    told = model.generate(input_ids=start, **options)
    native = ginets.fold(model, tmp_path)
    check_same(native, model, input_ids=told)
    assert torch.equal(native.generate(start, **options), told)
    with model.disable_adapter():
        assert not torch.equal(model.generate(input_ids=start, **options), told)
    code = f"""
import sys
sys.modules["peft"] = None
import torch, ginets
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({str(tmp_path)!r})
print(model.generate(torch.tensor([[1]]), max_new_tokens=64, do_sample=False, eos_token_id=None)[0].tolist())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split("\n")[-2] == str(told[0].tolist())


def test_only_the_active_adapter_is_folded():
    model = adapted(modules_to_save=["norm"])
    model.add_adapter("other", InAConfig(r=2, target_modules=["q_proj"], modules_to_save=["norm"]))
    enliven(model)
    check_same(ginets.fold(model), model)
    model.set_adapter("other")
    native = ginets.fold(model)
    check_same(native, model)
    assert native.config.ina_rank == 2 and native.config.ina_target_modules == ["q_proj"]


def test_half_precision_mode_and_generation_settings():
    """bfloat16 has 8 bits: the branch, in float32 beside the base, rounds elsewhere."""
    base = LlamaForCausalLM(stock_config("llama_ina")).to(torch.bfloat16)
    base.generation_config.max_new_tokens = 3
    model = adapted(base).train()
    native = ginets.fold(model)
    assert native.training and {p.dtype for p in native.parameters()} == {torch.bfloat16}
    assert native.generation_config.max_new_tokens == 3
    ours, theirs = (each.eval()(**inputs()).logits.float() for each in (native, model))
    assert (ours - theirs).abs().max() < 0.03 * theirs.abs().max()


def test_the_folded_model_trains_like_the_adapter():
    """Same gradients for A and B."""
    model = adapted(target_modules=ALL)
    native = ginets.fold(model)
    for each in (model, native):
        each(**inputs()).logits.square().mean().backward()
    grads = {name: p.grad for name, p in native.named_parameters() if "_ina." in name}
    theirs = {
        name.removeprefix("base_model.model.").replace(".ina_", "_ina.").replace(".default", ""): p.grad
        for name, p in model.named_parameters()
        if ".ina_" in name
    }
    assert grads.keys() == theirs.keys() and len(grads) == 3 * 7 * 2
    for name, grad in grads.items():
        torch.testing.assert_close(grad, theirs[name], rtol=1e-4, atol=1e-6)


def test_detached_thresholds_fold_with_a_warning():
    model = adapted(detach_threshold=True)
    with pytest.warns(UserWarning, match="detach_threshold"):
        native = ginets.fold(model)
    check_same(native, model)


@pytest.mark.parametrize("fields,named", [
    ({"activation": "gelu"}, "activation is 'gelu'"),
    ({"activation": "none"}, "activation is 'none'"),
    ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
    ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
    ({"layers_to_transform": [0, 1]}, "layers_to_transform"),
    ({"layers_to_transform": [0, 2]}, "layers_to_transform"),
    ({"target_modules": r".*layers\.(0\.mlp\.down|[12]\.self_attn\.q)_proj"}, "other projections"),
    ({"target_modules": ["q_proj", "embed_tokens"]}, "target_modules includes 'model.embed_tokens'"),
    ({"target_modules": ["q_proj", "lm_head"]}, "target_modules includes 'lm_head'"),
    ({"ina_alpha": -3}, "ina_alpha"),
], ids=str)  # fmt: skip
def test_what_is_refused_by_name(fields, named, tmp_path):
    with pytest.raises(ValueError, match=named) as error:
        ginets.fold(adapted(**fields), tmp_path / "native")
    assert "\n" not in str(error.value) and not (tmp_path / "native").exists()


def test_other_models_and_states_are_refused():
    with pytest.raises(TypeError, match="takes a PeftModel"):
        ginets.fold(LlamaModel(stock_config("llama_ina")))
    bert = transformers.BertModel(stock_config("bert_gi"))
    with pytest.raises(ValueError, match="BertModel"):
        ginets.fold(get_peft_model(bert, InAConfig()))
    with pytest.raises(ValueError, match="LoraConfig"):
        ginets.fold(get_peft_model(LlamaForCausalLM(stock_config("llama_ina")), LoraConfig()))
    model = adapted()
    model.add_adapter("other", InAConfig(target_modules=["q_proj"]))
    model.base_model.set_adapter(["default", "other"])
    with pytest.raises(ValueError, match="2 adapters are active"):
        ginets.fold(model)
    merged = adapted(inhibition_level=0)
    merged.merge_adapter()
    with pytest.raises(ValueError, match="unmerge_adapter"):
        ginets.fold(merged)


def test_quantized_bases_are_refused():
    bitsandbytes = pytest.importorskip("bitsandbytes")
    base = LlamaForCausalLM(stock_config("llama_ina"))
    for layer in base.model.layers:
        linear = bitsandbytes.nn.Linear4bit(32, 32, bias=False, quant_type="nf4")
        linear.weight = bitsandbytes.nn.Params4bit(layer.self_attn.q_proj.weight.data, quant_type="nf4")
        layer.self_attn.q_proj = linear.to("cpu")
    with pytest.raises(ValueError, match="quantized"):
        ginets.fold(adapted(base))


def test_the_tokenizer_comes_along(tmp_path):
    """That of the base checkpoint, or the one that is given."""
    from tokenizers import Tokenizer, models

    words = {"<unk>": 0, "a": 1, "b": 2}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, "<unk>")), unk_token="<unk>"
    )
    LlamaForCausalLM(stock_config("llama_ina")).save_pretrained(tmp_path / "base")
    model = adapted(LlamaForCausalLM.from_pretrained(tmp_path / "base"))
    ginets.fold(model, tmp_path / "without")
    assert not (tmp_path / "without" / "tokenizer.json").exists()
    ginets.fold(model, tmp_path / "given", tokenizer)
    tokenizer.save_pretrained(tmp_path / "base")
    ginets.fold(model, tmp_path / "found")
    for name in ("given", "found"):
        assert transformers.AutoTokenizer.from_pretrained(tmp_path / name).get_vocab() == words
        assert (tmp_path / name / "model.safetensors").exists()
    for name in (None, "", "/a/folder/that/is/gone", "some-org/not-in-the-cache", str(tmp_path)):
        assert find_tokenizer(name) is None

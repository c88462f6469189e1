"""Models and adapters loaded for inference: the right class with the right weights, adapters live, safe files only."""

import json

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    BertForQuestionAnswering,
    BertModel,
    GPT2LMHeadModel,
    T5Config,
    T5Model,
)

from ginets import BertGIForQuestionAnswering, BertGIForSequenceClassification, InAConfig, LlamaInAForCausalLM
from ginets.hub import probe
from ginets.hub.card import CardFacts, make_card
from ginets.hub.load import find_model, key_mapping, load_for_inference
from ginets.hub.published_card import Published, how_to_load
from ginets.recipes.saved_adapters import save_base_config
from tests import tiny, words
from tests.tuners.methods import STOCK


def saved(model, folder, tokenizer: bool = True) -> str:
    model.save_pretrained(folder)
    if tokenizer:
        words.tokenizer().save_pretrained(folder)
    return str(folder)


def outputs(model) -> torch.Tensor:
    with torch.no_grad():
        return model(**tiny.inputs(length=6, seed=3)).to_tuple()[0]


def small(name: str, **flags):
    """A model whose vocabulary fits the tokenizer of `tests/words.py` and `tests/tiny.py`."""
    return tiny.randomise(name(tiny.config("bert_gi", **tiny.BOTH, **flags))).eval()


@pytest.mark.parametrize("make,head,kind", [
    (lambda: BertForQuestionAnswering(tiny.stock_config("bert_gi")), None, BertForQuestionAnswering),
    (lambda: BertForQuestionAnswering(tiny.stock_config("bert_gi")), "SequenceClassification", None),
    (lambda: BertModel(tiny.stock_config("bert_gi")), None, BertModel),
    (lambda: BertGIForQuestionAnswering(tiny.config("bert_gi", **tiny.BOTH)), None, BertGIForQuestionAnswering),
    (lambda: LlamaInAForCausalLM(tiny.config("llama_ina", ina_rank=4)), None, LlamaInAForCausalLM),
    (lambda: GPT2LMHeadModel(STOCK["gpt2"]()), None, GPT2LMHeadModel),
])  # fmt: skip
def test_models(make, head, kind, tmp_path):
    model = tiny.randomise(make().eval())
    loaded, tokenizer = load_for_inference(saved(model, tmp_path), head)
    assert type(loaded) is kind or type(loaded).__name__ == f"BertFor{head}"
    assert not loaded.training and tokenizer.get_vocab() == words.tokenizer().get_vocab()
    backbone, its = model.base_model.state_dict(), loaded.base_model.state_dict()
    assert all(torch.equal(tensor, its[name]) for name, tensor in backbone.items() if "pooler" not in name)
    if kind:
        torch.testing.assert_close(outputs(loaded), outputs(model))
    assert load_for_inference(str(tmp_path), head, "bfloat16")[0].dtype == torch.bfloat16


def test_code_in_cards_finds_the_backbone_under_its_other_name(tmp_path):
    """What is printed in both kinds of cards, and what `verify` does in its processes, for a Llama that answers."""
    config = tiny.stock_config("llama_ina")
    model, base = transformers.LlamaForQuestionAnswering(config), transformers.LlamaForCausalLM(config)
    base.model.load_state_dict(model.transformer.state_dict())
    base_path, path = saved(base, tmp_path / "base"), str(tmp_path / "adapter")
    model = get_peft_model(model, InAConfig(init_weights=False, modules_to_save=["qa_outputs"])).eval()
    save_base_config(model, tmp_path / "adapter")
    model.peft_config["default"].base_model_name_or_path = base_path
    model.save_pretrained(path)
    words.tokenizer().save_pretrained(path)
    auto, mapping = AutoModelForQuestionAnswering, key_mapping(AutoModelForQuestionAnswering, config)
    facts = {"name": path, "key_mapping": mapping}
    card = CardFacts(
        **facts,
        base_model=base_path,
        task_type="question-answering",
        dataset="",
        split="",
        metrics={},
        seed=1,
        adapter="ina",
    )
    published = Published(
        **facts, auto=auto.__name__, base=base_path, adapter="GINETS_INA", base_config=True, needs_ginets=True
    )
    for text in (make_card(card).text, how_to_load(published)):
        found = {}
        code = text.partition("```python\n")[2].partition("```")[0]
        exec(
            code.replace('from_pretrained("base"', f'from_pretrained("{base_path}"'), found
        )  # cards keep local paths out
        assert torch.equal(outputs(found["model"].eval()), outputs(model))
    job = {"path": path, "base": base_path, "config": f"{path}/base", "auto": auto.__name__, "trust": False}
    assert torch.equal(outputs(probe.load(job | {"key_mapping": mapping})[0]), outputs(model))


@pytest.mark.parametrize(
    ("model_type", "head", "expected"),
    [
        ("llama_ina", "QuestionAnswering", {r"^model\.": "transformer."}),
        ("llama_ina", "CausalLM", None),
        ("bert_gi", "QuestionAnswering", None),
    ],
)
def test_key_mapping(model_type, head, expected):
    auto = getattr(transformers, f"AutoModelFor{head}")
    assert key_mapping(auto, tiny.stock_config(model_type)) == expected
    assert key_mapping(AutoModelForQuestionAnswering, transformers.GPT2Config()) is None  # the same name everywhere


@pytest.mark.parametrize("kind", ["CausalLM", "QuestionAnswering"])
def test_question_answering_finds_the_backbone_of_a_llama(kind, tmp_path):
    """Its head calls `transformer` what the rest of the family calls `model`; transformers alone leaves it at random."""
    model = getattr(transformers, f"LlamaFor{kind}")(tiny.stock_config("llama_ina"))
    loaded, _ = load_for_inference(saved(model, tmp_path / "one"), "QuestionAnswering")
    own = loaded.base_model.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in model.base_model.state_dict().items())
    loaded.save_pretrained(tmp_path / "two")
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "two")
    torch.testing.assert_close(outputs(again), outputs(loaded))


def test_gates_written_in_a_stock_config(tmp_path):
    path = saved(BertForQuestionAnswering(tiny.stock_config("bert_gi")), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"gi_key_side": True}))
    assert type(load_for_inference(path)[0]) is BertGIForQuestionAnswering


@pytest.fixture
def adapted(tmp_path):
    """An InA adapter with a head of three labels on a base with gates, saved as the recipes do, and the live model."""
    base = small(BertGIForSequenceClassification, num_labels=3, inhibition_level=0.3)
    base.base_model.save_pretrained(tmp_path / "base")  # neither head nor labels
    words.tokenizer().save_pretrained(tmp_path / "base")
    fields = {"r": 4, "target_modules": ["query"], "init_weights": False, "inhibition_level": 0.3}
    model = get_peft_model(base, InAConfig(task_type="SEQ_CLS", **fields)).eval()
    model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    save_base_config(model, tmp_path / "adapter")
    return model, tmp_path / "adapter"


def test_adapter_of_a_recipe(adapted):
    model, folder = adapted
    loaded, tokenizer = load_for_inference(str(folder))
    assert isinstance(loaded, PeftModel) and not loaded.training
    assert type(loaded.get_base_model()) is BertGIForSequenceClassification and loaded.config.num_labels == 3
    assert not loaded.get_base_model().bert.encoder.layer[0].attention.self.query.merged
    assert tokenizer.get_vocab() == words.tokenizer().get_vocab()  # the base's
    assert outputs(loaded).shape == (2, 3)
    torch.testing.assert_close(outputs(loaded), outputs(model))
    with loaded.disable_adapter():
        assert (outputs(loaded) - outputs(model)).abs().max() > 1e-3


def test_adapter_without_the_config_of_its_base(adapted):
    """The head by the adapter's task, its size by its tensors; without a task what the adapter was made on."""
    model, folder = adapted
    (folder / "base" / "config.json").unlink()
    torch.testing.assert_close(outputs(load_for_inference(str(folder))[0]), outputs(model))
    adapter = json.loads((folder / "adapter_config.json").read_text())
    made_on = {"task_type": None, "auto_mapping": {"base_model_class": "BertForQuestionAnswering"}}
    (folder / "adapter_config.json").write_text(json.dumps(adapter | made_on))
    assert find_model(str(folder)).model_class is AutoModelForQuestionAnswering
    assert find_model(str(folder), "SequenceClassification").model_class is AutoModelForSequenceClassification


def test_tokenizer_of_the_adapter_comes_first(adapted):
    _, folder = adapted
    tokenizer = words.tokenizer()
    tokenizer.add_tokens(["zebra"])
    tokenizer.save_pretrained(folder)
    assert "zebra" in load_for_inference(str(folder))[1].get_vocab()


def test_pickles_are_refused(adapted, tmp_path):
    _, folder = adapted
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ValueError, match=r"no adapter at .*there is no adapter_model.safetensors"):
        load_for_inference(str(folder))
    (tmp_path / "base" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no weights at .*damaged file"):
        load_for_inference(str(tmp_path / "base"))
    (tmp_path / "base" / "model.safetensors").unlink()
    torch.save({}, tmp_path / "base" / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no weights at"):
        load_for_inference(str(tmp_path / "base"))


def test_what_cannot_be_loaded_is_said_in_a_line(adapted, tmp_path):
    _, folder = adapted
    other = saved(get_peft_model(words.bert(), LoraConfig(r=2, target_modules=["dense"])), tmp_path / "other")
    config = json.loads((tmp_path / "other" / "adapter_config.json").read_text())
    misfit = {"base_model_name_or_path": str(tmp_path / "base")}
    (tmp_path / "other" / "adapter_config.json").write_text(json.dumps(config | misfit))
    nameless = json.loads((folder / "adapter_config.json").read_text()) | {"base_model_name_or_path": None}
    (folder / "adapter_config.json").write_text(json.dumps(nameless))
    (tmp_path / "empty").mkdir()
    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 99}
    T5Model(T5Config(**sizes)).save_pretrained(tmp_path / "t5")
    for path, head, message in (
        ("/no/such/folder", None, r"no model at '/no/such/folder' \(there is no such folder\)"),
        ("no/such-model", None, "no model at 'no/such-model'"),
        (tmp_path / "empty", None, "no model at"),
        (tmp_path / "t5", None, "is an encoder-decoder model"),
        (tmp_path / "base", "Answering", "head is 'Answering'; it must be one that transformers has"),
        (folder, None, "names no base_model_name_or_path"),
        (other, None, "does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            load_for_inference(str(path), head)

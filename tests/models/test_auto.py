"""Auto classes: our types, edited stock configs, untouched stock configs, other people's code."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertTokenizer,
    pipeline,
)

import ginets
from ginets import FlagError
from ginets.models.auto import auto_classes
from tests.tiny import BOTH, BY_TYPE, config, inputs, stock_config


ON = {kind: {"ina_target_modules": ["v_proj"]} if kind == "llama_ina" else BOTH for kind in BY_TYPE}
# (auto class, family, stock class) for every head that transformers knows for the four stock types
AUTO = [
    (auto, kind, getattr(transformers, auto._model_mapping._model_mapping[family.stock_config.model_type]))
    for auto in auto_classes()
    for kind, family in BY_TYPE.items()
    if family.stock_config.model_type in auto._model_mapping._model_mapping
]


def edit(folder, **flags):
    """What the original README tells users to do: edit the config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | flags))


@pytest.fixture
def bert(tmp_path):
    """A saved stock checkpoint with a vocabulary."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(94))]
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    BertForMaskedLM(stock_config("bert_gi")).save_pretrained(tmp_path)
    return tmp_path


def test_every_head_of_the_stock_families_is_there():
    assert len(AUTO) >= 30
    for _, kind, stock in AUTO:
        assert BY_TYPE[kind].ours(stock.__name__).__name__ in ginets.__all__


@pytest.mark.parametrize("auto,kind,stock", AUTO, ids=lambda value: getattr(value, "__name__", value))
def test_doors(auto, kind, stock, tmp_path):
    """Plain configs give the stock class itself, edited ones ours, through both calls; ours loads as ours."""
    ours = BY_TYPE[kind].ours(stock.__name__)
    plain = stock_config(kind)
    model = auto.from_config(plain)
    assert type(model) is stock
    model.save_pretrained(tmp_path)
    assert type(auto.from_pretrained(tmp_path)) is stock

    assert type(auto.from_config(stock_config(kind, **ON[kind]))) is ours
    edit(tmp_path, **ON[kind])
    loaded, report = auto.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is ours and not report["unexpected_keys"]
    assert all(any(part in name for part in ("inhibition_", "select_", "_ina.")) for name in report["missing_keys"])
    for name, parameter in model.named_parameters():
        assert torch.equal(loaded.get_parameter(name), parameter)

    loaded.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == kind
    assert type(auto.from_pretrained(tmp_path)) is ours


def test_transformers_itself_is_not_patched():
    """The stock module, its classes and a direct call are what they are without ginets."""
    import transformers.models.bert.modeling_bert as modeling

    assert BertForMaskedLM is modeling.BertForMaskedLM
    assert "from_pretrained" not in vars(BertForMaskedLM) and "__new__" not in vars(BertForMaskedLM)
    assert type(BertForMaskedLM(stock_config("bert_gi", **BOTH))) is BertForMaskedLM


def test_flags_as_keyword_arguments(bert):
    model = AutoModelForMaskedLM.from_pretrained(bert, gi_key_side=True, inhibition_level=0.1)
    assert type(model) is ginets.BertGIForMaskedLM and model.config.inhibition_level == 0.1
    edit(bert, gi_query_side=True, inhibition_level=0.5)
    edited = AutoConfig.from_pretrained(bert)
    assert (
        AutoModelForMaskedLM.from_pretrained(bert, config=edited, inhibition_level=0.2).config.inhibition_level == 0.2
    )
    model = AutoModelForMaskedLM.from_pretrained(bert, inhibition_level=0.2)
    assert (model.config.inhibition_level, model.config.gi_query_side, model.config.gi_key_side) == (0.2, True, False)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_implementation_is_carried_over(bert, attention):
    edit(bert, gi_query_side=True)
    model = AutoModel.from_pretrained(bert, attn_implementation=attention)
    assert model.config._attn_implementation == attention
    edited = AutoConfig.from_pretrained(bert)
    assert AutoModel.from_config(edited, attn_implementation=attention).config._attn_implementation == attention


def test_what_the_stock_config_holds_is_kept(bert):
    edit(bert, gi_query_side=True, id2label={"0": "no", "1": "yes", "2": "maybe"}, problem_type=None)
    model = AutoModelForSequenceClassification.from_pretrained(bert, dtype=torch.bfloat16)
    assert model.config.id2label == {0: "no", 1: "yes", 2: "maybe"} and model.classifier.out_features == 3
    assert model.dtype == torch.bfloat16 and model.config.name_or_path == str(bert)


@pytest.mark.parametrize("kind", BY_TYPE)
def test_converting_a_config_changes_nothing_but_type_and_flags(kind):
    """Also fields that no class declares (DeBERTa has some) and those that `to_dict` drops."""
    extra = {"num_labels": 5, "attention_head_size": 8, "note": "kept", "chunk_size_feed_forward": 3}
    plain = stock_config(kind, attn_implementation="eager", **extra, **ON[kind])
    converted = AutoModel.from_config(plain).config
    ours = {name: value for name, value in converted.to_dict().items() if name in plain.to_dict()}
    assert ours | {"model_type": None} == plain.to_dict() | {"model_type": None}
    assert converted._attn_implementation == "eager" and converted.note == "kept"


def test_both_sides_written_false_give_a_gate_free_model_with_a_warning(bert, caplog):
    edit(bert, gi_query_side=False, gi_key_side=False)
    model = AutoModelForMaskedLM.from_pretrained(bert)
    assert type(model) is ginets.BertGIForMaskedLM
    assert sum("no side is on" in record.getMessage() for record in caplog.records) == 1


BAD = [
    {"inhibition_level": 0.3},  # a level alone: nothing says where
    {"gi_query_side": True, "inhibition_level": 1.5},
    {"gi_query_side": True, "gi_layer_num": 4},
    {"gi_query_side": True, "inhibition_scope": "tensor"},
    {"gi_qurey_side": True},
    {"gi_query_side": True, "inhibition_levle": 0.1},
    {"gi_query_side": True, "ina_rank": 4},
    {"ina_target_modules": ["q_proj"]},
]


@pytest.mark.parametrize("flags", BAD, ids=str)
def test_bad_flags_are_never_ignored(bert, flags):
    edit(bert, **flags)
    wrong = next(name for name in flags if name != "gi_query_side")
    for load in (
        lambda: AutoModelForMaskedLM.from_pretrained(bert),
        lambda: AutoModel.from_config(AutoConfig.from_pretrained(bert)),
        lambda: pipeline("fill-mask", model=str(bert)),  # would go on to load the stock class after a ValueError
    ):
        with pytest.raises(FlagError, match=wrong):
            load()


@pytest.mark.parametrize(
    "flag,value,says", [("gi_kee_side", True, "did you mean"), ("inhibition_level", 2, "0 <= p < 1")]
)
def test_a_bad_flag_alone_says_what_is_wrong_with_it(bert, flag, value, says):
    """Not only that no side is on."""
    for load in (AutoModelForMaskedLM.from_pretrained, ginets.BertGIModel.from_pretrained):
        with pytest.raises(FlagError, match=says):
            load(bert, **{flag: value})


@pytest.mark.parametrize(
    "flags",
    [
        {"gi_key_side": True, "inhibtion_level": 0.9},
        {"gi_key_side": True, "inhibition-level": 0.9},
        {"GI_key_side": True},
        {"g_key_side": True},
    ],
)
def test_a_flag_misspelt_at_its_beginning_is_not_passed_over(bert, flags):
    edit(bert, **flags)
    wrong = list(flags)[-1]
    with pytest.raises(FlagError, match=f"`{wrong}`.*did you mean `(gi_key_side|inhibition_level)`"):
        AutoModelForMaskedLM.from_pretrained(bert)


def test_pipelines(bert, caplog):
    edit(bert, **BOTH)
    fill = pipeline("fill-mask", model=str(bert))
    assert type(fill.model) is ginets.BertGIForMaskedLM and len(fill("w1 [MASK] w2")) == 5
    fill.model.save_pretrained(bert)
    classify = pipeline("text-classification", model=str(bert))
    assert type(classify.model) is ginets.BertGIForSequenceClassification and "score" in classify("w1 w2")[0]
    assert not any("is not supported" in record.getMessage() for record in caplog.records)


def test_tokenizer_of_our_type_from_a_bare_vocabulary(bert):
    config("bert_gi", **BOTH).save_pretrained(bert)
    assert type(AutoTokenizer.from_pretrained(bert)) is BertTokenizer
    assert type(AutoTokenizer.from_pretrained(bert, tokenizer_type="bert_gi")) is BertTokenizer


def test_a_config_folder_apart_from_the_checkpoint(bert, tmp_path_factory):
    """The third way: stock weights, our config from another folder."""
    other = tmp_path_factory.mktemp("config")
    config("bert_gi", **BOTH).save_pretrained(other)
    model = AutoModelForMaskedLM.from_pretrained(bert, config=AutoConfig.from_pretrained(other))
    stock = AutoModelForMaskedLM.from_pretrained(bert)
    assert type(model) is ginets.BertGIForMaskedLM and type(stock) is BertForMaskedLM
    assert torch.equal(model(**inputs()).logits, stock(**inputs()).logits)


def test_other_peoples_code_still_runs(bert):
    """A stock-typed repository with its own classes (`auto_map`) loads them when the user trusts it."""
    (bert / "modeling_theirs.py").write_text(
        textwrap.dedent("""
        from transformers import BertForMaskedLM
        class TheirBert(BertForMaskedLM):
            pass
        """)
    )
    edit(bert, auto_map={"AutoModelForMaskedLM": "modeling_theirs.TheirBert"})
    theirs = AutoModelForMaskedLM.from_pretrained(bert, trust_remote_code=True)
    assert type(theirs).__name__ == "TheirBert"
    assert type(AutoModelForMaskedLM.from_pretrained(bert, trust_remote_code=False)) is BertForMaskedLM


def test_mapping_entries_can_be_instantiated_directly():
    """Some code takes the class out of the mapping and calls it."""
    mapping = AutoModelForSequenceClassification._model_mapping
    assert type(mapping[BertConfig](stock_config("bert_gi"))) is BertForSequenceClassification
    assert type(mapping[BertConfig](stock_config("bert_gi", **BOTH))) is ginets.BertGIForSequenceClassification


def test_without_the_import_the_type_is_unknown(tmp_path):
    config("bert_gi", **BOTH).save_pretrained(tmp_path)
    code = "import sys; {}from transformers import AutoConfig; print(type(AutoConfig.from_pretrained(sys.argv[1])).__name__)"
    runs = [
        subprocess.run([sys.executable, "-c", code.format(first), tmp_path], capture_output=True, text=True)
        for first in ("", "import ginets; ")
    ]
    assert runs[0].returncode != 0 and "bert_gi" in runs[0].stderr
    assert runs[1].stdout.strip() == "BertGIConfig"


def test_a_door_reads_the_config_where_the_weights_are(tmp_path):
    """Called by itself, without the config that the Auto classes give it."""
    BertForSequenceClassification(stock_config("bert_gi")).save_pretrained(tmp_path / "sub")
    edit(tmp_path / "sub", **BOTH)
    door = AutoModelForSequenceClassification._model_mapping[BertConfig]
    assert isinstance(door.from_pretrained(tmp_path, subfolder="sub"), ginets.BertGIForSequenceClassification)

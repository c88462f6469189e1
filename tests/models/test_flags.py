"""Flags: defaults, validation at construction and on assignment, JSON round trip."""

import copy
import json
import pickle

import pytest
from huggingface_hub.errors import StrictDataclassError

from ginets import FlagError
from ginets.models.flags import is_flag
from tests.tiny import BOTH, BY_TYPE, config, stock_config


GATED = [name for name in BY_TYPE if name != "llama_ina"]
BAD = [
    ("inhibition_level", 1.0),
    ("inhibition_level", -0.1),
    ("inhibition_level", float("nan")),
    ("inhibition_level", "0.3"),
    ("inhibition_level", True),
    ("gi_layer_num", 4),
    ("gi_layer_num", -1),
    ("gi_layer_num", 1.0),
    ("inhibition_scope", "tensor"),
    ("gi_query_side", "yes"),
    ("gi_key_side", 1),
    ("gi_qurey_side", True),
    ("inhibition_levle", 0.3),
    ("ina_targets", ["q_proj"]),
]
BAD_GATE = [("gi_rank", 0), ("gi_rank", 2.5), ("ina_rank", 4)]
BAD_INA = [
    ("ina_rank", 0),
    ("ina_alpha", 0),
    ("ina_alpha", float("inf")),
    ("ina_dropout", 1.0),
    ("ina_target_modules", []),
    ("ina_target_modules", ["q_proj", "q_proj"]),
    ("ina_target_modules", ["query"]),
    ("ina_target_modules", "q_proj"),
    ("gi_rank", 4),
    ("inhibition_scope", "batch"),
]
CASES = [(kind, *bad) for kind in BY_TYPE for bad in BAD + (BAD_INA if kind == "llama_ina" else BAD_GATE)]


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_nothing_is_on_unless_it_is_written(model_type):
    plain = config(model_type)
    assert (plain.gi_query_side, plain.gi_key_side, plain.inhibited_sides) == (False, False, ())
    assert plain.inhibition_level == 0.3 and plain.inhibition_scope == "token" and plain.gi_layer_num is None


@pytest.mark.parametrize("model_type,flag,value", CASES)
def test_a_bad_flag_is_one_error_that_names_it(model_type, flag, value):
    with pytest.raises(StrictDataclassError, match=flag) as caught:
        config(model_type, **{flag: value})
    assert repr(value) in str(caught.value)
    # pipelines swallow these four and would fall back to the stock model
    assert not isinstance(caught.value, (ValueError, TypeError, OSError, RuntimeError))


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_assignment_is_checked_and_leaves_the_config_as_it_was(model_type):
    checked = config(model_type, **BOTH)
    before = checked.to_dict()
    for flag, value in (("inhibition_level", 1), ("gi_layer_num", 9), ("gi_nothing", 1), ("inhibition_scope", "x")):
        with pytest.raises(FlagError, match=flag):
            setattr(checked, flag, value)
    assert checked.to_dict() == before
    checked.inhibition_level = 0  # an integer, as JSON has it
    checked.gi_layer_num = 0
    assert list(checked.inhibited_layers) == []


def test_the_number_of_layers_cannot_fall_below_the_gated_ones():
    checked = config("bert_gi", gi_layer_num=3)
    with pytest.raises(FlagError, match="gi_layer_num"):
        checked.num_hidden_layers = 2
    assert checked.num_hidden_layers == 3


def test_the_error_survives_the_way_out_of_a_worker_process():
    error = pickle.loads(pickle.dumps(FlagError("gi_rank", 0, "more")))
    assert (error.flag, error.value, error.allowed) == ("gi_rank", 0, "more") and "gi_rank" in str(error)


@pytest.mark.parametrize("model_type", ["bert_gi", "roberta_gi"])
def test_a_batch_maximum_is_refused_in_a_decoder(model_type):
    with pytest.raises(FlagError, match="inhibition_scope"):
        config(model_type, inhibition_scope="batch", is_decoder=True)
    encoder = config(model_type, inhibition_scope="batch", **BOTH)
    with pytest.raises(FlagError, match="inhibition_scope"):
        encoder.is_decoder = True
    assert encoder.is_decoder is False


def test_a_misspelt_flag_gets_a_suggestion():
    with pytest.raises(FlagError, match="did you mean `gi_query_side`"):
        config("bert_gi", gi_qurey_side=True)


@pytest.mark.parametrize("name", ["lora_target_modules", "target_modules", "layer_num", "rank", "lora_alpha", "scope"])
def test_fields_of_others_are_no_flags(name):
    assert not is_flag(name)


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_no_field_of_a_stock_config_is_a_flag(model_type):
    assert not [name for name in stock_config(model_type).to_dict() if is_flag(name)]


@pytest.mark.parametrize("number,gated", [(None, [0, 1, 2]), (0, []), (1, [2]), (2, [1, 2]), (3, [0, 1, 2])])
def test_layer_number_counts_exactly_the_last_layers(number, gated):
    assert list(config("bert_gi", gi_layer_num=number).inhibited_layers) == gated


@pytest.mark.parametrize("model_type", BY_TYPE)
def test_round_trip(model_type, tmp_path):
    flags = {"inhibition_level": 0.1, "gi_layer_num": 2} | BOTH
    flags |= {"ina_target_modules": ["v_proj"], "ina_rank": 3} if model_type == "llama_ina" else {"gi_rank": 5}
    saved = config(model_type, **flags)
    saved.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == model_type and flags.items() <= written.items()
    assert type(saved).from_pretrained(tmp_path).to_dict() == saved.to_dict()
    assert copy.deepcopy(saved) == saved


def test_targets_override_the_sides():
    assert config("llama_ina", **BOTH).inhibited_projections == ("q_proj", "k_proj")
    assert config("llama_ina", ina_target_modules=["down_proj"], **BOTH).inhibited_projections == ("down_proj",)

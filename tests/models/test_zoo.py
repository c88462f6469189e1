"""The zoo: published figures, unique types, a true table, cards that name their base."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

import ginets
from ginets.models.flags import flag_names
from ginets.models.zoo import count_parameters, readme, zoo_root


# parameters of the published backbones (with BERT's and RoBERTa's pooler, without heads)
PUBLISHED = {
    "bert-base-uncased-gi": 109_482_240,
    "bert-base-cased-gi": 108_310_272,
    "bert-large-uncased-gi": 335_141_888,
    "bert-large-cased-gi": 333_579_264,
    "roberta-base-gi": 124_645_632,
    "roberta-large-gi": 355_359_744,
    "deberta-v3-base-gi": 183_831_552,
    "deberta-v3-large-gi": 434_012_160,
    "llama-2-7b-ina": 6_738_415_616 - 32_000 * 4096,
    "llama-3.2-1b-ina": 1_235_814_400,
    "llama-3.2-3b-ina": 3_212_749_824,
}


@pytest.mark.parametrize("name", ginets.list_models())
def test_config_and_card(name):
    written = json.loads(Path(ginets.model_path(name), "config.json").read_text())
    loaded = AutoConfig.from_pretrained(ginets.model_path(name))
    assert type(loaded).__name__ in ginets.__all__ and written["model_type"] == loaded.model_type
    assert set(flag_names(type(loaded))) <= written.keys()
    assert hasattr(ginets, written["architectures"][0])
    assert name.endswith("-ina" if loaded.model_type == "llama_ina" else "-gi")
    card = Path(ginets.model_path(name), "README.md").read_text()
    assert f'model_path("{name}")' in card and "license:" in card and ("base_model:" in card) == ("tiny" not in name)


@pytest.mark.parametrize("name", PUBLISHED)
def test_architectures_are_the_published_ones(name):
    total, added = count_parameters(AutoConfig.from_pretrained(ginets.model_path(name)))
    assert total - added == PUBLISHED[name]


def test_added_parameters_by_hand():
    """Both sides of a full-width gate: 4(d² + d) a layer."""
    _, added = count_parameters(AutoConfig.from_pretrained(ginets.model_path("bert-large-cased-gi")))
    assert added == 24 * 4 * (1024**2 + 1024)


def test_the_table_is_true():
    assert (zoo_root() / "README.md").read_text(encoding="utf-8") == readme()


def test_lookup():
    assert ginets.list_models("deberta*") == [name for name in ginets.list_models() if name.startswith("deberta")]
    with pytest.raises(ValueError, match=r"did you mean.*bert-base-cased-gi"):
        ginets.model_path("bert-base-cased")

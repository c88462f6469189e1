"""`ginets heatmap`: which files it writes with which numbers, and one line with exit code 2 for bad input."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from peft import get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from ginets import InAConfig
from ginets.cli import main
from ginets.data.tabular import DataError
from ginets.data.texts import read_texts
from ginets.hub.load import load_for_inference
from ginets.viz.attention import capture
from tests import words


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """`base`, the adapter `ina` on it, `deep` with one layer more, `other` with another tokenizer."""
    place = tmp_path_factory.mktemp("models")
    model = words.bert()
    model.save_pretrained(place / "base")
    words.tokenizer().save_pretrained(place / "base")
    fields = {"r": 4, "target_modules": ["query", "key"], "init_weights": False, "inhibition_level": 0.3}
    adapted = get_peft_model(model, InAConfig(**fields, task_type="QUESTION_ANS"))
    adapted.peft_config["default"].base_model_name_or_path = str(place / "base")
    adapted.save_pretrained(place / "ina")
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
    BertModel(BertConfig(**sizes, num_hidden_layers=3)).save_pretrained(place / "deep")
    words.tokenizer().save_pretrained(place / "deep")
    BertModel(BertConfig(**sizes, num_hidden_layers=2)).save_pretrained(place / "other")
    core = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]").save_pretrained(place / "other")
    return place


def test_a_pair_in_two_variants(place, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(place)
    pair = ["--text", "a b ?", "--text-pair", "c d. e"]
    choice = ["--layers", "-1", "--head", "2", "--mask-special", "--format", "png", "svg", "--background", "dark"]
    assert main(["heatmap", "base", "InA 30 %=ina", *pair, *choice, "--output-dir", str(tmp_path)]) == 0
    assert f"9 files for 1 text in {tmp_path}" in capsys.readouterr().out
    pictures = ["sheet", "layer-02-base", "layer-02-InA_30"]
    names = {f"{name}.{ending}" for name in pictures for ending in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == names | {f"attention.{e}" for e in ("npz", "csv", "html")}
    with np.load(tmp_path / "attention.npz", allow_pickle=False) as arrays:
        assert arrays["variants"].tolist() == ["base", "InA 30 %"] and arrays["layers"].tolist() == [2]
        weights = arrays["weights"]
        for number, path in enumerate(("base", "ina")):  # adapters live: not those of the base
            expected = capture(*load_for_inference(path), "a b ?", "c d. e")
            np.testing.assert_array_equal(weights[number], expected.weights[1:])
            assert arrays["tokens"].tolist() == list(expected.tokens)
    assert np.abs(weights[0] - weights[1]).max() > 0.01
    with open(tmp_path / "attention.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 7 * 7 and {row["head"] for row in rows} == {"2"}
    assert float(rows[-1]["weight"]) == pytest.approx(weights[1, 0, 1, 8, 8], rel=1e-5)


def test_a_file_of_texts(place, tmp_path, capsys):
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"question": f"{word} ?", "context": "a b c"}) + "\n" for word in "abcdefgh"))
    options = ["--file", str(file), "--limit", "2", "--layers", "1", "--max-length", "6", "--scale", "linear"]
    assert main(["heatmap", str(place / "base"), *options, "--output-dir", str(tmp_path / "out")]) == 0
    assert "10 files for 2 texts" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1", "2"]
    for number, word in (("1", "a"), ("2", "b")):
        with np.load(tmp_path / "out" / number / "attention.npz", allow_pickle=False) as arrays:
            assert arrays["tokens"].tolist() == ["[CLS]", word, "[SEP]", "a", "b", "[SEP]"]


@pytest.mark.parametrize("arguments,message", [
    (["base", "base"], "two variants are called 'base'"),
    (["x=base", "x=ina"], "two variants are called 'x'; a picture shows one model of each label"),
    (["=base"], "empty label"),
    (["/no/model"], "no model at '/no/model'"),
    (["base", "other"], "text 1: other and base split the text differently"),
    (["base", "deep"], "text 1: base has 2 layers of 2 heads, deep has 3 layers of 2 heads"),
    (["base", "--layers", "1", "3"], "layers contains 3; it must be 1 to 2"),
    (["base", "--head", "3"], "head is 3; it must be 1 to 2"),
    (["base", "--max-length", "0"], "max_length is 0"),
    (["base", "--limit", "3"], "--limit needs --file"),
    (["base", "--background", "red"], "Invalid value for '--background'"),
    (["base", "--format", "gif"], "Invalid value for '--format'"),
])  # fmt: skip
def test_bad_input_is_one_line_before_any_model_is_read(arguments, message, place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr("ginets.hub.load.ModelSource.model", lambda *given: pytest.fail("a model was read"))
    with pytest.raises(SystemExit) as end:
        main(["heatmap", *arguments, "--text", "a b", "--output-dir", str(tmp_path / "out")])
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert end.value.code == 2 and error.startswith("ginets heatmap: error: ") and message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("given,message", [
    ([], "give either --text or --file"),
    (["--text", "a", "--file", "b"], "give either --text or --file"),
    (["--file", "missing.txt"], "missing.txt: there is no such file"),
    (["--file", "missing.txt", "--text-pair", "a"], "--text-pair needs --text"),
    (["--text", "a " * 99], "text 1: the text has 101 tokens, the model takes 64; give max_length to cut it"),
])  # fmt: skip
def test_bad_texts(given, message, place, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["heatmap", str(place / "base"), *given, "--output-dir", str(tmp_path)])
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_forms_of_files(tmp_path, data_dir):
    def file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    assert read_texts(file("a.txt", "one\n\n two \r\n")) == [("one", None), ("two", None)]
    assert read_texts(file("a.csv", "text,label\nx,1\ny,2\n"), limit=1) == [("x", None)]
    assert read_texts(file("b.csv", "text_pair,text\nx,y\n")) == [("y", "x")]
    assert read_texts(file("a.jsonl", '{"context": "c", "question": "q"}')) == [("q", "c")]
    for name, text, message in (
        ("c.csv", "words\nx\n", "has the columns words; texts are in text"),
        ("d.csv", "question\nx\n", "has the columns question"),
        ("c.jsonl", '{"text": 1}', "line 1: text is 1; it must be text"),
        ("e.txt", "\n \n", "the file is empty"),
    ):
        with pytest.raises(DataError, match=message):
            read_texts(file(name, text))
    with pytest.raises(DataError, match="limit is 0"):
        read_texts(tmp_path / "a.txt", 0)
    (first, context), *rest = read_texts(data_dir / "squad" / "v2.0" / "dev.json", limit=3)
    assert first.endswith("?") and len(context) > 100 and len(rest) == 2

"""`ginets relevance` as a command: files, settings, seeds, gates, and one line for bad input."""

import csv
import json

import peft
import pytest
import torch

from ginets import InAConfig
from ginets.cli import main
from ginets.hub.load import ModelSource
from tests.words import bert, tokenizer


ROWS = [
    {"id": "0", "question": "a ?", "context": "b c d e f", "relevant": [[2, 3]]},
    {"id": "1", "question": "c d ?", "context": "a b. c d e", "relevant": [[0, 1], [5, 8]]},
    {"id": "2", "question": "h", "context": "g a", "relevant": [[0, 1]]},
    {"id": "3", "question": "h", "context": "g a", "relevant": [[0, 3]]},  # nothing is irrelevant
    {"id": "4", "question": "h", "context": "g a", "relevant": []},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, two complete models, and an InA adapter on the first."""
    folder = tmp_path_factory.mktemp("relevance")
    (folder / "data.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    for seed in (0, 1):
        bert(seed).save_pretrained(folder / f"model{seed}")
        tokenizer().save_pretrained(folder / f"model{seed}")
    config = InAConfig(r=4, target_modules=["query", "key"], task_type="QUESTION_ANS", inhibition_level=0.5)
    model = bert(0)
    model.name_or_path = str(folder / "model0")
    adapted = peft.get_peft_model(model, config)
    torch.manual_seed(3)
    for name, parameter in adapted.named_parameters():
        if "ina_" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(folder / "ina")
    return folder


def relevance(folder, out, *variants: str, options: tuple[str, ...] = ()) -> dict:
    given = [f"{label}={folder / name}" for label, name in (each.split("=") for each in variants)]
    arguments = ["relevance", *given, "--data", str(folder / "data.jsonl"), "--doc-stride", "8", "--draws", "50"]
    assert main([*arguments, "--max-seq-length", "32", "--output-dir", str(out), *options]) == 0
    return json.loads((out / "relevance.json").read_text(encoding="utf-8"))


def values(report: dict, variant: str, key: str = "value") -> list[float]:
    return [row[key] for row in report["rows"] if row["variant"] == variant]


def test_files(folder, tmp_path, capsys):
    report = relevance(folder, tmp_path, "base=model0", "InA=ina", options=("--gates", "--format", "png", "svg"))
    stems = ("relevance_all", "relevance_question", "inhibited")
    tables = {f"{stem}.{end}" for stem in ("relevance", "gates") for end in ("json", "csv")}
    written = {path.name for path in tmp_path.iterdir()}
    assert written == tables | {f"{stem}.{end}" for stem in stems for end in ("png", "svg")}
    assert report["passages"] == 3 and report["contexts"] == 3
    assert report["left_out"] == {"nothing is relevant": 1, "not measurable in every variant": 1}
    assert report["settings"]["draws"] == 50 and report["settings"]["data"] == "data.jsonl"
    assert report["variants"] == {"base": ["model0"], "InA": ["ina"]} and "torch" in report["versions"]
    with open(tmp_path / "relevance.csv", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["variant"] for row in table] == [row["variant"] for row in report["rows"]]
    assert [float(row["value"]) for row in table] == [row["value"] for row in report["rows"]]
    assert table[0]["difference"] == "" and float(table[-1]["difference"]) == report["rows"][-1]["difference"]
    assert any(abs(value) > 1e-3 for value in values(report, "InA", "difference"))  # the adapter is at work
    gates = json.loads((tmp_path / "gates.json").read_text(encoding="utf-8"))
    assert {(row["variant"], row["layer"], row["place"]) for row in gates["rows"]} == {
        ("InA", layer, f"attention.self.{name}") for layer in (1, 2) for name in ("query", "key")
    }
    # [CLS] a ? [SEP] b c d e f [SEP], … c d ? … a b . c d e …, … h … g a …, four ranks each: no padding
    assert {row["entries"] for row in gates["rows"]} == {4 * (10 + 12 + 6)}
    assert "InA              irrelevant" in capsys.readouterr().out


def test_seeds_are_averaged(folder, tmp_path, capsys):
    """The mean of two seeds lies in the middle; a variant against itself differs by nothing."""
    report = relevance(folder, tmp_path, "a=model0", "both=model0", "both=model1", "again=model0", "b=model1")
    means = [(a + b) / 2 for a, b in zip(values(report, "a"), values(report, "b"), strict=True)]
    chosen = [not row["figure"].endswith(("ratio", "share")) for row in report["rows"] if row["variant"] == "a"]
    pairs = zip(values(report, "both"), means, chosen, strict=True)
    assert all(both == pytest.approx(mean, rel=1e-5) for both, mean, linear in pairs if linear)
    for key in ("difference", "difference_low", "difference_high"):
        assert set(values(report, "again", key)) == {0.0}
    assert {(row["variant"], row["seed"]) for row in report["runs"]} == {
        ("a", 1), ("both", 1), ("both", 2), ("again", 1), ("b", 1),
    }  # fmt: skip
    assert "gates" not in capsys.readouterr().out


def test_without_gates(folder, tmp_path, capsys):
    first = relevance(folder, tmp_path / "one", "base=model0", options=("--gates",))
    assert "no variant has gates or inhibited ranks" in capsys.readouterr().out
    assert not (tmp_path / "one" / "gates.json").exists()
    again = relevance(folder, tmp_path / "two", "base=model0")
    other = relevance(folder, tmp_path / "three", "base=model0", options=("--seed", "1"))
    assert first["rows"] == again["rows"]
    assert values(first, "base") == values(other, "base") and values(first, "base", "low") != values(
        other, "base", "low"
    )


@pytest.mark.parametrize("arguments,message", [
    (("nowhere",), "no model at 'nowhere'"),
    (("x/best", "y/best"), "two variants are called 'best'"),
    (("MODEL", "--data", "none.json"), "none.json: there is no such file"),
    (("MODEL", "--limit", "0"), "limit is 0; it must be at least 1"),
    (("MODEL", "--limit", "1"), "no passage has relevant, irrelevant and question tokens"),
    (("MODEL", "--max-seq-length", "9"), "doc_stride is 8 and max_seq_length 9"),
    (("MODEL", "--draws", "0"), "--draws is 0; it must be at least 1"),
    (("MODEL", "--seed", "-1"), "--seed is -1; it must be at least 0"),
    (("MODEL", "--head", "Nonsense"), "head is 'Nonsense'"),
    (("MODEL", "--output-dir", "FILE"), "File exists"),
])  # fmt: skip
def test_bad_input_is_one_line_before_any_model_is_read(folder, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(ModelSource, "model", lambda *_: pytest.fail("weights are read"))
    arguments = [str(folder / "data.jsonl") if each == "FILE" else each for each in arguments]
    arguments = [str(folder / "model0") if each == "MODEL" else each for each in arguments]
    defaults = ["--data", str(folder / "data.jsonl"), "--doc-stride", "8", "--output-dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["relevance", *defaults, *arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and not (tmp_path / "out").exists()

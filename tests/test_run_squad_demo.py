"""The embedded example of `run_squad`: three models from one start, their figures and pictures."""

import json

import pytest

from ginets.recipes import squad_demo
from ginets.recipes.squad import main


def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(squad_demo, "TEST_ROWS", 16)
    words = ["--demo", "--from_scratch", "--train_rows", "64", "--epochs", "1", "--output_dir", str(tmp_path)]
    figures = main([*words, "--inhibition_level", "0.5"])
    per_model = {f"{split}_{name}" for split in ("validation", "heldout") for name in ("exact_match", "f1")}
    assert figures.keys() == {
        f"{model}_{name}"
        for model in ("stock", "lora", "ina")
        for name in (*per_model, "train_runtime", "trainable_parameters")
    }
    assert figures["lora_trainable_parameters"] == figures["ina_trainable_parameters"]
    assert figures["stock_trainable_parameters"] > figures["lora_trainable_parameters"]
    assert json.loads((tmp_path / "all_results.json").read_text()) == figures
    config = json.loads((tmp_path / "ina/adapter_config.json").read_text())
    assert config["inhibition_level"] == 0.5
    bases = [json.loads((tmp_path / name / "adapter_config.json").read_text()) for name in ("lora", "ina")]
    assert {base["base_model_name_or_path"] for base in bases} == {str(tmp_path / "base")}
    rows = [json.loads(line) for line in (tmp_path / "data/train.jsonl").read_text().splitlines()]
    assert len(rows) == 64 and {"relevant", "answers", "context"} <= rows[0].keys()
    pictures = {path.name for path in (tmp_path / "attention").iterdir()}
    assert pictures >= {"sheet.png", "attention.html", "layer-01-LoRA.png", "layer-03-InA_50.png"}
    assert all((tmp_path / name).is_file() for name in ("learning_curve.png", "relevance.png"))
    report = json.loads((tmp_path / "relevance.json").read_text())
    assert {row["variant"] for row in report["rows"]} == {"full fine-tuning", "LoRA", "InA 50%"}
    assert "held-out pairs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--inhibition_level 1.5", "inhibition_level is 1.5"),
        ("--train_rows 0", "--train_rows is 0; allowed: at least 1"),
        ("--epochs 0", "--epochs is 0.0; it must be more than 0"),
        ("--learning_rate 1", "unknown arguments: --learning_rate 1"),
    ],
)
def test_bad_arguments_are_refused_before_it_trains(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(squad_demo, "run", lambda *args: pytest.fail("training had begun"))
    with pytest.raises(SystemExit) as caught:
        main(["--demo", "--from_scratch", "--output_dir", str(tmp_path), *words.split()])
    assert caught.value.code == 2 and says in capsys.readouterr().err


def test_the_table_says_what_was_trained_now(tmp_path):
    """Not what an earlier run left in the folder."""
    (tmp_path / "base").mkdir()
    (variant, *_) = squad_demo.variants(8, 0.3)
    names = (
        "validation_exact_match",
        "validation_f1",
        "heldout_exact_match",
        "heldout_f1",
        "train_runtime",
        "trainable_parameters",
    )
    figures = {f"stock_{name}": number for number, name in enumerate(names)}
    for pretrained in (True, False):
        lines = squad_demo.table(figures, [variant], 1.0, tmp_path, pretrained).splitlines()
        assert any("a tiny model stands in" in line for line in lines) is not pretrained
        (row,) = (line for line in lines if line.startswith(variant.name))
        assert row.split()[-7:] == ["0.0", "1.0", "2.0", "3.0", "5", "4", "s"]

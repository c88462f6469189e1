"""Question answering end to end with a tiny BERT: figures, files, thresholds, resuming, gates, adapters, families."""

import csv
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

import ginets
from ginets.data.squad import load_files
from ginets.data.squad_features import build_features
from ginets.metrics.squad import evaluate_v1, evaluate_v2
from ginets.recipes.squad import main
from tests import tiny
from tests.real_tokenizers import TOKENIZERS
from tests.recipes.squad_fixtures import make_model, make_squad
from tests.reference.squad import read_answers


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squad")
    torch.manual_seed(0)
    files = {name: make_squad(folder / f"{name}.json") for name in ("train", "dev", "test")}
    simple = {f"{name}1": make_squad(folder / f"{name}1.json", unanswerable=0) for name in ("train", "dev")}
    return {"model": make_model(folder / "model"), **files, **simple}


def words(place, output, *more, train="train", dev="dev", epochs=6):
    return [
        "--model_name_or_path", str(place["model"]), "--train_file", str(place[train]),
        "--validation_file", str(place[dev]), "--output_dir", str(output), "--do_train", "--do_eval",
        "--num_train_epochs", str(epochs), "--learning_rate", "2e-2", "--warmup_steps", "10",
        "--per_device_train_batch_size", "8", "--use_cpu", "--disable_tqdm", "True",
        "--max_seq_length", "24", "--doc_stride", "8", *map(str, more),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(place, tmp_path_factory):
    """One uninterrupted gated run with prediction; its folder and figures."""
    output = tmp_path_factory.mktemp("run") / "out"
    more = ["--do_predict", "--test_file", place["test"], "--gi_query_side", "--inhibition_level", "0.1"]
    return output, main(words(place, output, *more))


def read(output, name):
    return json.loads((output / f"{name}.json").read_text())


def golds(path):
    rows = load_files({"x": str(path)})["x"]
    return {row["id"]: row["answers"]["text"] for row in rows}


def test_it_learns_and_leaves_its_files(finished):
    output, figures = finished
    assert figures["eval_f1"] > 90 and figures["eval_HasAns_f1"] > 80 and figures["eval_NoAns_f1"] > 80
    assert read(output, "all_results").items() >= figures.items()
    history = read(output, "trainer_state")["log_history"]
    assert [e["epoch"] for e in history if "eval_f1" in e] == [1, 2, 3, 4, 5, 6]
    assert figures["eval_f1"] == max(e["eval_f1"] for e in history if "eval_f1" in e)
    assert all("eval_loss" in e for e in history if "eval_f1" in e)
    assert (output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")


def test_figures_are_those_of_the_files(finished, place):
    """Scored again from the written files; thresholds are searched over answers that none has blanked yet."""
    output, figures = finished
    for prefix, file, split in (("eval", "", "dev"), ("predict", "predict_", "test")):
        right, predictions = golds(place[split]), read(output, f"{file}predictions")
        expected = evaluate_v2(right, predictions)
        nbest, odds = read(output, f"{file}nbest_predictions"), read(output, f"{file}null_odds")
        spans = {name: next(each["text"] for each in best if each["text"]) for name, best in nbest.items()}
        swept = evaluate_v2(right, spans, odds)
        expected |= {name: value for name, value in swept.items() if name.startswith("best_")}
        assert {name: figures[f"{prefix}_{name}"] for name in expected} == expected
        assert figures[f"{prefix}_best_f1"] >= figures[f"{prefix}_f1"]
        assert predictions == {name: "" if odds[name] > 0 else text for name, text in spans.items()}


def test_answers_are_those_of_the_saved_model_one_window_at_a_time(finished, place):
    """Unpadded windows through the saved model, and the loop that defines the answers."""
    output, _ = finished
    model = AutoModelForQuestionAnswering.from_pretrained(output).eval()
    tokenizer = AutoTokenizer.from_pretrained(output)
    examples = load_files({"x": str(place["test"])})["x"]
    features = build_features(examples, tokenizer, max_seq_length=24, doc_stride=8, characters=True)
    assert len(features) > 1.3 * len(examples)
    starts, ends = np.full((2, len(features), 24), -1e4, np.float32)
    for i, row in enumerate(features):
        given = {name: torch.tensor([row[name]]) for name in ("input_ids", "token_type_ids")}
        with torch.no_grad():
            out = model(**given)
        starts[i, : row["length"]], ends[i, : row["length"]] = out.start_logits[0], out.end_logits[0]
    predictions, _, odds = read_answers(examples, features, (starts, ends), True, 20, 30, 0.0)
    assert read(output, "predict_predictions") == predictions
    assert read(output, "predict_null_odds") == pytest.approx(odds, abs=1e-4)


def test_gate_flags_reach_the_saved_model_and_its_card(finished):
    output, figures = finished
    model = AutoModelForQuestionAnswering.from_pretrained(output)
    assert type(model) is ginets.BertGIForQuestionAnswering
    assert model.config.gi_query_side and model.config.inhibition_level == 0.1
    card = (output / "README.md").read_text()
    for part in ("pipeline_tag: question-answering", "| gi_query_side | True |", "| doc_stride | 8 |",
                 f"| f1 | {figures['eval_f1']:.4f} |", "ginets squad --model_name_or_path model --train_file train.json"):  # fmt: skip
        assert part in card


def test_resuming_equals_an_uninterrupted_run(finished, place, tmp_path):
    whole, figures = finished
    earliest = min(whole.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    flags = ["--gi_query_side", "--inhibition_level", "0.1", "--resume_from_checkpoint", earliest]
    again = main(words(place, tmp_path / "again", *flags))
    assert again["eval_f1"] == figures["eval_f1"] and again["eval_loss"] == figures["eval_loss"]
    expected, got = (load_file(folder / "model.safetensors") for folder in (whole, tmp_path / "again"))
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)


def test_a_figure_that_the_questions_do_not_have_is_refused(place, tmp_path, capsys):
    """Those of a kind of questions that is not among them: found before the training, not after its first epoch."""
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "out", "--metric_for_best_model", "NoAns_f1", dev="dev1"))
    error = capsys.readouterr().err
    assert (
        "--metric_for_best_model is 'NoAns_f1'; here it can be f1, exact, HasAns_f1" in error
        and "NoAns_exact" not in error
    )


def test_version_1_figures_and_a_csv_file(place, tmp_path):
    """Without unanswerable questions the rules are those of 1.1; the same questions as csv give the same answers."""
    output = tmp_path / "json"
    figures = main(words(place, output, train="train1", dev="dev1"))
    right = golds(place["dev1"])
    expected = evaluate_v1(right, read(output, "predictions"))
    assert {name: figures[f"eval_{name}"] for name in expected} == expected and figures["eval_f1"] > 90
    assert not (output / "null_odds.json").exists() and "eval_exact" not in figures
    rows = load_files({"x": str(place["dev1"])})["x"]
    with open(tmp_path / "dev.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "context", "question", "answers"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, "answers": json.dumps(row["answers"])} for row in rows)
    again = main(
        ["--model_name_or_path", str(output), "--validation_file", str(tmp_path / "dev.csv"), "--do_eval", "--use_cpu",
         "--max_seq_length", "24", "--doc_stride", "8", "--output_dir", str(tmp_path / "csv")]
    )  # fmt: skip
    assert read(tmp_path / "csv", "predictions") == read(output, "predictions")
    assert again["eval_f1"] == figures["eval_f1"]


def test_threshold_and_version_2_are_obeyed(finished, place, tmp_path):
    output, _ = finished
    common = ["--model_name_or_path", str(output), "--do_eval", "--use_cpu", "--max_seq_length", "24",
              "--doc_stride", "8"]  # fmt: skip
    blank = main(
        [*common, "--validation_file", str(place["dev"]), "--null_score_diff_threshold=-1e9",
         "--output_dir", str(tmp_path / "blank")]
    )  # fmt: skip
    assert set(read(tmp_path / "blank", "predictions").values()) == {""} and blank["eval_NoAns_exact"] == 100
    main(
        [*common, "--validation_file", str(place["dev1"]), "--version_2_with_negative",
         "--output_dir", str(tmp_path / "two")]
    )  # fmt: skip
    assert (tmp_path / "two" / "null_odds.json").exists()


def token_types_count(folder) -> bool:
    """Whether an adapter passes token types on to its base; PEFT's own wrapper for question answering does not."""
    from peft import PeftModel

    base = AutoModelForQuestionAnswering.from_pretrained(
        json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    )
    model, ids = PeftModel.from_pretrained(base, folder).eval(), torch.arange(5, 13)[None]
    with torch.no_grad():
        plain, typed = (
            model(input_ids=ids, token_type_ids=types).start_logits for types in (0 * ids, (ids > 8).long())
        )
    return not torch.allclose(plain, typed, atol=1e-3)


@pytest.mark.parametrize("adapter", ["lora", "ina"])
def test_an_adapter_folder_gives_the_same_answers_again(place, adapter, tmp_path):
    pytest.importorskip("peft")
    output, flags = tmp_path / "run", ["--adapter", adapter, "--r", "4", "--target_modules", "query", "value"]
    figures = main(words(place, output, *flags, "--adapter_lr", "5e-2", epochs=10))
    assert figures["trainable_parameters"] - figures["trainable_parameters_without_head"] == 2 * 16 + 2
    assert figures["trainable_parameters_without_head"] == 2 * 4 * (16 + 16)
    assert figures["eval_f1"] > 70
    again = main(
        ["--model_name_or_path", str(output), "--validation_file", str(place["dev"]), "--do_eval", "--use_cpu",
         "--max_seq_length", "24", "--doc_stride", "8", "--output_dir", str(tmp_path / "again")]
    )  # fmt: skip
    assert again["eval_f1"] == figures["eval_f1"]
    assert read(tmp_path / "again", "predictions") == read(output, "predictions")
    assert token_types_count(output)
    card = (output / "README.md").read_text()
    assert "AutoModelForQuestionAnswering.from_pretrained" in card and "SequenceClassification" not in card


FAMILIES = {"bert": "bert_gi", "roberta": "roberta_gi", "deberta": "deberta_v2_gi", "llama": "llama_ina"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_on_real_questions(name, data_dir, tmp_path):
    """Stock and with the mechanism: two steps, and an answer for each question, unanswerable ones allowed."""
    tokenizer = TOKENIZERS[name](data_dir)
    tokenizer.save_pretrained(tmp_path / "model")
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 130, "pad_token_id": tokenizer.pad_token_id}
    model_type = FAMILIES[name]
    stock = tiny.stock_backbone_class(model_type)(tiny.stock_config(model_type, **sizes))
    stock.save_pretrained(tmp_path / "model")
    flags = (
        ["--ina_rank", "4", "--ina_target_modules", "q_proj"]
        if name == "llama"
        else ["--gi_query_side", "--gi_key_side"]
    )
    for kind, more in (("stock", []), ("inhibited", flags)):
        output = tmp_path / kind
        figures = main(
            ["--model_name_or_path", str(tmp_path / "model"), "--do_train", "--do_eval", "--max_steps", "2",
             "--train_file", str(data_dir / "squad/v2.0/train.json"), "--max_train_samples", "16",
             "--validation_file", str(data_dir / "squad/v2.0/dev.json"), "--max_eval_samples", "20",
             "--max_seq_length", "128", "--doc_stride", "32", "--use_cpu", "--disable_tqdm", "True",
             "--eval_strategy", "no", "--save_strategy", "no", "--output_dir", str(output), *more]
        )  # fmt: skip
        assert figures["eval_total"] == 20 == len(read(output, "predictions"))
        assert np.isfinite(figures["eval_loss"]) and np.isfinite(figures["train_loss"])
        saved = json.loads((output / "config.json").read_text())["model_type"]
        assert (saved == model_type) == (kind == "inhibited")

"""Classification end to end with a tiny BERT: results, files, resuming, early stopping, gates, heads."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, RobertaConfig

import ginets
from ginets.recipes import classification
from ginets.recipes.arguments import GateArguments, ModelArguments
from ginets.recipes.glue import main
from ginets.recipes.glue_outputs import write_predictions
from ginets.recipes.heads import CLASSIFICATION, load_config
from ginets.recipes.model import load_model, position_limit
from tests.recipes.glue_fixtures import BAD, GOOD, make_model, make_sst2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glue")
    torch.manual_seed(0)
    return {"model": make_model(folder / "model"), "data": make_sst2(folder / "data")}


def words(place, output, *more, epochs=3):
    return [
        "--model_name_or_path", str(place["model"]), "--task_name", "sst2", "--glue_dir", str(place["data"]),
        "--output_dir", str(output), "--do_train", "--do_eval", "--num_train_epochs", str(epochs),
        "--learning_rate", "1e-2", "--warmup_steps", "10", "--per_device_train_batch_size", "8", "--use_cpu",
        "--disable_tqdm", "True",
        *map(str, more),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(place, tmp_path_factory):
    """One uninterrupted gated run with prediction; its folder and figures."""
    output = tmp_path_factory.mktemp("run") / "out"
    secrets = ["--token", "hf_first", "--hub_token=hf_second"]
    figures = main(words(place, output, "--do_predict", "--gi_query_side", "--inhibition_level", "0.1", *secrets))
    return output, figures


def test_figures_and_files(finished):
    output, figures = finished
    assert figures["eval_accuracy"] > 0.9
    assert json.loads((output / "all_results.json").read_text()).items() >= figures.items()
    assert (output / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    state = json.loads((output / "trainer_state.json").read_text())
    assert [e["epoch"] for e in state["log_history"] if "eval_accuracy" in e] == [1, 2, 3]
    best = max(e["eval_accuracy"] for e in state["log_history"] if "eval_accuracy" in e)
    assert figures["eval_accuracy"] == best == state["best_metric"]


def test_gate_flags_reach_the_saved_config(finished):
    config = json.loads((finished[0] / "config.json").read_text())
    assert config["model_type"] == "bert_gi" and config["gi_query_side"] and config["inhibition_level"] == 0.1
    assert not config["gi_key_side"]
    model = AutoModelForSequenceClassification.from_pretrained(finished[0])
    assert type(model) is ginets.BertGIForSequenceClassification


def test_predictions_stand_beside_their_own_rows(finished, place):
    """Texts in the order of the file, one by one through the saved model, against the written files."""
    output, figures = finished
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(output),
        AutoTokenizer.from_pretrained(output),
    )
    for name, file, spelling in (
        ("dev", "predictions_validation.tsv", ("negative", "positive")),
        ("test", "SST-2.tsv", ("0", "1")),
    ):
        texts = [line.split("\t") for line in (place["data"] / f"SST-2/{name}.tsv").read_text().splitlines()[1:]]
        column = 1 if name == "test" else 0
        with torch.no_grad():
            ids = [model(**tokenizer(t[column], return_tensors="pt")).logits.argmax().item() for t in texts]
        rows = [line.split("\t") for line in (output / file).read_text().splitlines()]
        assert rows[0][:2] == ["index", "prediction"]
        assert [row[0] for row in rows[1:]] == [str(i) for i in range(len(texts))]
        assert [row[1] for row in rows[1:]] == [spelling[i] for i in ids]
        if name == "dev":
            assert [row[2] for row in rows[1:]] == [spelling[int(t[1])] for t in texts]
            assert figures["eval_accuracy"] == np.mean([row[1] == row[2] for row in rows[1:]])


def test_model_card(finished, place):
    """The command is the one that was parsed, not that of the process; neither tokens nor local folders are in it."""
    card = (finished[0] / "README.md").read_text()
    for part in (
        "model-index",
        "GLUE sst2",
        "| gi_query_side | True |",
        "| accuracy |",
        "one run, seed 42",
        "nyu-mll/glue",
        "ginets glue --model_name_or_path model --task_name sst2 --glue_dir data --output_dir out --do_train",
        "--gi_query_side --inhibition_level 0.1\n",
    ):
        assert part in card
    for part in (
        "hf_first",
        "hf_second",
        "--token",
        "--hub_token",
        str(place["data"].parent),
        str(finished[0].parent),
    ):
        assert part not in card


def test_resuming_equals_an_uninterrupted_run(finished, place, tmp_path):
    whole, figures = finished
    earliest = min(whole.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert earliest.name != "checkpoint-75"  # the last of 3 epochs of 25 steps
    again = main(
        words(place, tmp_path / "interrupted", "--do_predict", "--gi_query_side", "--inhibition_level", "0.1",
              "--resume_from_checkpoint", earliest)
    )  # fmt: skip
    assert again["eval_accuracy"] == figures["eval_accuracy"] and again["eval_loss"] == figures["eval_loss"]
    expected, got = (load_file(folder / "model.safetensors") for folder in (whole, tmp_path / "interrupted"))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_auto_resume_and_refusal_to_mix_runs(place, tmp_path, capsys):
    output = tmp_path / "out"
    main(words(place, output, "--resume_from_checkpoint", "auto", epochs=1))
    with pytest.raises(SystemExit):
        main(words(place, output, epochs=2))
    assert "holds checkpoints of a finished run; give --resume_from_checkpoint auto" in capsys.readouterr().err
    main(words(place, output, "--resume_from_checkpoint", "auto", epochs=2))
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert [e["epoch"] for e in history if "eval_accuracy" in e] == [1, 2]

    results = output / "all_results.json"
    figures = json.loads(results.read_text())
    with pytest.raises(SystemExit):  # nothing is left to train: the figures stay as they are
        main(words(place, output, "--resume_from_checkpoint", "auto", epochs=2))
    assert "holds a finished run, and" in capsys.readouterr().err
    assert json.loads(results.read_text()) == figures
    results.unlink()  # as if the run had been broken off after its last checkpoint
    again = main(words(place, output, "--resume_from_checkpoint", "auto", epochs=2))
    assert again["eval_accuracy"] == figures["eval_accuracy"] and "train_loss" not in again


def test_a_run_killed_after_its_training_is_not_trained_again(place, tmp_path, monkeypatch):
    """Its figures are a file once all of them are there; a sweep takes that for the end of the run."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classification, "predict", killed)
        with pytest.raises(KeyboardInterrupt):
            main(words(place, tmp_path, epochs=1))
    assert (tmp_path / "train_results.json").exists() and not (tmp_path / "all_results.json").exists()
    figures = main(words(place, tmp_path, "--resume_from_checkpoint", "auto", epochs=1))
    assert "train_loss" not in figures and figures["eval_accuracy"] >= 0
    assert json.loads((tmp_path / "all_results.json").read_text()) == figures


def test_scores_are_written_with_all_digits(tmp_path):
    """Those of the user's files may be small; submissions to GLUE have three decimals."""
    rows = Dataset.from_dict({"idx": [1, 0], "label": [5.5e-5, 1.0]})
    write_predictions(tmp_path / "all.tsv", rows, np.array([6.25e-5, 0.1], np.float32), ())
    assert (tmp_path / "all.tsv").read_text().splitlines()[1:] == ["0\t0.1\t1.0", "1\t6.25e-05\t5.5e-05"]
    write_predictions(tmp_path / "three.tsv", rows.select_columns(["idx"]), np.array([2.34567, 0.5]), (), ".3f")
    assert (tmp_path / "three.tsv").read_text().splitlines()[1:] == ["0\t0.500", "1\t2.346"]


def test_the_checkpoint_resumed_from_may_be_deleted_meanwhile(place, tmp_path):
    saving = ["--eval_strategy", "no", "--save_strategy", "steps", "--save_steps", "2", "--save_total_limit", "1"]
    main(words(place, tmp_path, *saving, "--max_steps", "2"))
    figures = main(words(place, tmp_path, *saving, "--max_steps", "4", "--resume_from_checkpoint", "auto"))
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-4"]
    assert "train_loss" in figures and (tmp_path / "model.safetensors").is_file()


def test_early_stopping(place, tmp_path, capsys):
    command = words(place, tmp_path / "out", "--early_stopping_patience", "1", "--learning_rate", "0.0", epochs=9)
    assert main(command)["epoch"] == 2  # nothing improves on the first evaluation
    with pytest.raises(SystemExit):
        main([*command, "--resume_from_checkpoint", "auto"])
    assert "holds a finished run" in capsys.readouterr().err


def test_edited_config_beside_stock_weights(place, tmp_path):
    """`config_name` may be a folder of its own: stock weights, edited config; the command line overrides it."""
    config = json.loads((place["model"] / "config.json").read_text()) | {"gi_key_side": True, "inhibition_level": 0.5}
    (tmp_path / "config.json").write_text(json.dumps(config))
    main(words(place, tmp_path / "out", "--config_name", tmp_path, "--inhibition_level", "0.2", epochs=1))
    saved = json.loads((tmp_path / "out/config.json").read_text())
    assert saved["gi_key_side"] and saved["inhibition_level"] == 0.2 and saved["model_type"] == "bert_gi"


def test_config_of_another_size_than_the_weights(place, tmp_path, capsys):
    config = json.loads((place["model"] / "config.json").read_text()) | {"intermediate_size": 64}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "out", "--config_name", tmp_path))
    error = capsys.readouterr().err
    assert "run_glue: error: the weights at" in error and "have other sizes than the config" in error


def test_pickled_weights_are_refused(place, tmp_path, capsys):
    model = make_model(tmp_path / "model", weights=False)
    torch.save(load_file(place["model"] / "model.safetensors"), model / "pytorch_model.bin")
    with pytest.raises(SystemExit):
        main(words({**place, "model": model}, tmp_path / "out"))
    assert "they must be in safetensors files" in capsys.readouterr().err


@pytest.mark.parametrize(("dtype", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_precision_of_the_weights(dtype, expected, place):
    arguments = ModelArguments(model_name_or_path=str(place["model"]), dtype=dtype)
    assert load_model(arguments, load_config(arguments, GateArguments()), CLASSIFICATION)[0].dtype == expected


def test_seed_decides_the_new_head(place, tmp_path):
    """An untrained head draws its weights: alike with one seed whatever was drawn before, different with another."""

    def loss(seed: int, drawn_before: int) -> float:
        torch.manual_seed(drawn_before)
        command = words(place, tmp_path / "out", "--seed", seed)
        command.remove("--do_train")
        return main(command)["eval_loss"]

    first = loss(3, drawn_before=0)
    assert loss(3, drawn_before=1) == first != loss(4, drawn_before=0)


def test_f1_is_that_of_the_class_of_the_task(tmp_path):
    """A head that numbers MRPC's classes the other way round and always says "equivalent": 3 of 4 are."""
    model = make_model(tmp_path / "model", labels=("equivalent", "not_equivalent"))
    loaded = AutoModelForSequenceClassification.from_pretrained(model)
    with torch.no_grad():
        loaded.classifier.weight.zero_()
        loaded.classifier.bias.copy_(torch.tensor([5.0, -5.0]))
    loaded.save_pretrained(model)
    rows = [{"sentence1": "good", "sentence2": "fine", "label": label} for label in (1, 1, 0, 1)]
    (tmp_path / "dev.json").write_text(json.dumps(rows))
    figures = main(
        ["--model_name_or_path", str(model), "--task_name", "mrpc", "--validation_file", str(tmp_path / "dev.json"),
         "--output_dir", str(tmp_path / "out"), "--do_eval", "--use_cpu"]
    )  # fmt: skip
    assert figures["eval_accuracy"] == 0.75
    assert figures["eval_f1"] == pytest.approx(2 * 0.75 * 1 / (0.75 + 1))


def test_files_evaluation_only_with_classes_in_the_order_of_the_head(tmp_path):
    """A checkpoint whose head numbers the classes otherwise than the data: its names decide."""
    torch.manual_seed(1)
    model = make_model(tmp_path / "model", labels=("up", "down"))
    with torch.no_grad():
        loaded = AutoModelForSequenceClassification.from_pretrained(model)
        loaded.classifier.weight.zero_()
        loaded.classifier.bias.copy_(torch.tensor([5.0, -5.0]))  # always "up"
        loaded.save_pretrained(model)
    (tmp_path / "dev.csv").write_text("text,label\ngood,up\nbad,down\nfine,up\ngreat,up\n")
    base = ["--model_name_or_path", str(model), "--output_dir", str(tmp_path / "out"), "--use_cpu", "--do_eval"]
    assert main([*base, "--validation_file", str(tmp_path / "dev.csv")])["eval_accuracy"] == 0.75
    (tmp_path / "train.csv").write_text("text,label\ngood,up\nbad,down\n")  # sorted names: down, up
    files = ["--train_file", str(tmp_path / "train.csv"), "--validation_file", str(tmp_path / "dev.csv")]
    assert main([*base, *files])["eval_accuracy"] == 0.75
    assert "up\tup" in (tmp_path / "out/predictions_validation.tsv").read_text()


def test_regression_and_maximum_samples(place, tmp_path):
    rows = [{"sentence1": w, "sentence2": "it was", "label": 4.5 if w in GOOD else 0.5} for w in GOOD + BAD]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    figures = main(
        ["--model_name_or_path", str(place["model"]), "--task_name", "stsb", "--output_dir", str(tmp_path / "out"),
         "--train_file", str(tmp_path / "a.json"), "--validation_file", str(tmp_path / "a.json"), "--do_train",
         "--do_eval", "--max_train_samples", "4", "--use_cpu", "--num_train_epochs", "1", "--pad_to_max_length",
         "--max_seq_length", "16"]
    )  # fmt: skip
    assert figures["train_samples"] == 4 and figures["eval_samples"] == 6
    assert {"eval_pearson", "eval_spearmanr", "eval_combined_score"} <= set(figures)


def test_mnli_reports_both_halves(place, tmp_path):
    head = "index\tsentence1\tsentence2\tgold_label\n"
    (tmp_path / "MNLI").mkdir()
    rows = [f"{i}\t{a}\tit was\t{b}\n" for i, (a, b) in enumerate([("good", "neutral"), ("bad", "entailment")])]
    for half in ("matched", "mismatched"):
        (tmp_path / f"MNLI/dev_{half}.tsv").write_text(head + "".join(rows))
        (tmp_path / f"MNLI/test_{half}.tsv").write_text("index\tsentence1\tsentence2\n0\tgood\tbad\n")
    output = tmp_path / "out"
    figures = main(
        ["--model_name_or_path", str(place["model"]), "--task_name", "mnli", "--glue_dir", str(tmp_path), "--do_eval",
         "--do_predict", "--output_dir", str(output), "--use_cpu"]
    )  # fmt: skip
    assert figures["eval_accuracy"] == figures["eval_accuracy_mm"]
    submission = (output / "MNLI-mm.tsv").read_text().splitlines()
    assert submission[0] == "index\tprediction"
    assert submission[1].split("\t")[1] in ("entailment", "neutral", "contradiction")
    assert Path(output / "MNLI-m.tsv").is_file()


def test_inputs_are_cut_to_the_positions_of_the_model(tmp_path):
    """The tiny model has 32 positions, the default length is 128; RoBERTa counts from behind its padding id."""
    (tmp_path / "dev.csv").write_text(f"text,label\n{'good ' * 60},1\nbad,0\n")
    figures = main(
        ["--model_name_or_path", str(make_model(tmp_path / "m", labels=("0", "1"))), "--use_cpu", "--output_dir",
         str(tmp_path / "out"), "--do_eval", "--validation_file", str(tmp_path / "dev.csv")]
    )  # fmt: skip
    assert figures["eval_samples"] == 2
    assert position_limit(RobertaConfig(max_position_embeddings=514)) == 512


@pytest.mark.parametrize("pooler", [True, False])
def test_gates_and_head_alone(place, pooler, tmp_path, capsys):
    """`--train_base false`: what the checkpoint brought stays as it is, to the bit; what it lacks is trained."""
    frozen, base = ["--train_base", "false"], shutil.copytree(place["model"], tmp_path / "base")
    stock = {
        name: each for name, each in load_file(base / "model.safetensors").items() if pooler or "pooler" not in name
    }
    save_file(stock, base / "model.safetensors", metadata={"format": "pt"})
    figures = main(words(place | {"model": str(base)}, tmp_path / "out", "--gi_key_side", *frozen, epochs=1))
    saved, trained = load_file(tmp_path / "out/model.safetensors"), 0
    for name, tensor in saved.items():
        if name.removeprefix("bert.") in stock:
            assert torch.equal(tensor, stock[name.removeprefix("bert.")]), name
        elif "classifier" not in name:
            assert any(part in name for part in ("inhibition_", "select_", "pooler")), name
            trained += tensor.numel()
    assert figures["trainable_parameters_without_head"] == trained
    assert pooler or "bert.pooler.dense.weight" in saved
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "none", *frozen))
    assert "--train_base is false, and this bert model has neither gates" in capsys.readouterr().err


def test_own_rate_of_gates(place, tmp_path, capsys):
    """At a rate of zero gates stay where they started, and all else learns; without gates it is an error."""
    tensors = {}
    for name, rate in (("moved", []), ("still", ["--mechanism_lr", "0"])):
        main(words(place, tmp_path / name, "--gi_key_side", *rate, epochs=1))
        tensors[name] = load_file(tmp_path / name / "model.safetensors")
    gates = [name for name in tensors["still"] if "select_k" in name]
    assert gates and not any(tensors["still"][name].count_nonzero() for name in gates)
    assert all(tensors["moved"][name].count_nonzero() for name in gates)
    stock = load_file(Path(place["model"]) / "model.safetensors")
    query = "encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(
        tensors["still"][f"bert.{query}"], next(stock[each] for each in stock if each.endswith(query))
    )
    with pytest.raises(SystemExit):
        main(words(place, tmp_path / "none", "--mechanism_lr", "0.1"))
    assert "--mechanism_lr is 0.1, and this bert model has neither gates" in capsys.readouterr().err
    gated, beside = place | {"model": tmp_path / "moved"}, ["--adapter", "lora", "--mechanism_lr", "0.1"]
    for on_the_gate in ([], ["--target_modules", "select_k"]):
        with pytest.raises(SystemExit):
            main(words(gated, tmp_path / "frozen", *beside, *on_the_gate))
        assert "brings stay frozen beside an adapter" in capsys.readouterr().err
    main(words(gated, tmp_path / "named", *beside, "--modules_to_save", "select_k", epochs=1))


def test_holdout_is_parted_from_the_training_set(place, tmp_path, capsys):
    """The same rows whatever the seed, evaluated on instead of the validation set, and not trained on."""
    figures = [
        main(words(place, tmp_path / str(seed), "--holdout", "0.25", "--seed", seed, epochs=1)) for seed in (1, 2)
    ]
    assert [(each["train_samples"], each["eval_samples"]) for each in figures] == [(150, 50)] * 2
    rows, others = (
        (tmp_path / seed / "predictions_validation.tsv").read_text().splitlines()[1:] for seed in ("1", "2")
    )
    held_out = [line.split("\t")[0] for line in rows]
    assert held_out == [line.split("\t")[0] for line in others] and len(set(held_out)) == 50
    assert held_out != list(map(str, range(50)))  # their places in the training set
    with pytest.raises(SystemExit):
        main(words(place, tmp_path, "--holdout", "1.5"))
    assert "--holdout is 1.5; allowed: more than 0 and less than 1" in capsys.readouterr().err


def test_attention_can_be_chosen(place, tmp_path, capsys):
    arguments = ModelArguments(model_name_or_path=str(place["model"]), attn_implementation="eager")
    for gates in (GateArguments(), GateArguments(gi_key_side=True)):
        model, _ = load_model(arguments, load_config(arguments, gates), CLASSIFICATION)
        assert model.config._attn_implementation == "eager"
    with pytest.raises(SystemExit):
        main(words(place, tmp_path, "--attn_implementation", "egaer"))
    assert "--attn_implementation is 'egaer'; known: eager, " in capsys.readouterr().err

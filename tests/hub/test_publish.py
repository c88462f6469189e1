"""Published folders: what is in them, what is not, and that their users get the outputs of the run."""

import json

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification, LlamaForCausalLM

from ginets import BertGIForSequenceClassification, InAConfig, MTLoraConfig
from ginets.cli import main
from ginets.hub import probe
from ginets.hub import publish as module
from ginets.hub.citation import ENTRIES
from ginets.hub.flatten import auto_map, code_files
from ginets.hub.load import load_for_inference
from ginets.hub.publish import publish
from ginets.hub.verify import ask_probe
from tests import tiny, words
from tests.test_package import ROOT


def outputs(model) -> torch.Tensor:
    config = getattr(model, "get_base_model", lambda: model)().config
    with torch.no_grad():
        return model(**probe.example(config, False)).logits.float()


def without_ginets(folder, auto: str, scratch, **job) -> torch.Tensor:
    job = {
        "path": str(folder),
        "auto": auto,
        "trust": True,
        "output": str(scratch / "outputs"),
        "tokenizer": False,
        **job,
    }
    (found,) = ask_probe([job], without_ginets=True)
    assert "error" not in found, found
    return load_file(scratch / "outputs")["logits"]


def test_gated_model(run, tmp_path):
    folder, model = run
    files = publish(str(folder), tmp_path / "out", license="apache-2.0")
    family = tiny.BY_TYPE["bert_gi"]
    tokens = {"tokenizer.json", "tokenizer_config.json"}
    assert set(files) == {"config.json", "model.safetensors", "README.md", "checksums.sha256", "learning_curve.png",
                          *tokens, *code_files(family)}  # fmt: skip
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["auto_map"] == auto_map(family) and config["dtype"] == "bfloat16"
    assert not any(
        str(tmp_path) in (tmp_path / "out" / name).read_text() for name in files if name.endswith((".json", ".md"))
    )
    saved, kept = load_file(folder / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert saved.keys() == kept.keys() and all(torch.equal(kept[name], tensor) for name, tensor in saved.items())
    loaded, tokenizer = load_for_inference(str(tmp_path / "out"), dtype="bfloat16")
    assert type(loaded) is BertGIForSequenceClassification
    assert tokenizer.get_vocab() == words.tokenizer().get_vocab()
    assert torch.equal(outputs(loaded), outputs(model))


def test_card(run, tmp_path):
    publish(str(run[0]), tmp_path / "out", name="me/mrpc-gi", license="apache-2.0")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    data = card.data.to_dict()
    assert (
        data["license"] == "apache-2.0" and data["library_name"] == "transformers" and data["base_model"] == "org/base"
    )
    assert data["pipeline_tag"] == "text-classification" and {"ginets", "gi"} <= set(data["tags"])
    assert card.data.eval_results[0].metric_value == 0.8125
    for part in (
        "run_glue.py --seed 7",
        'AutoModelForSequenceClassification.from_pretrained("me/mrpc-gi", trust_remote_code=True)',
        "import ginets\nfrom transformers",
        "Weights: apache-2.0, that of its base model `org/base`",
        "giMLPs",
        "## Intended use and limits",
        "(text-classification)",
    ):
        assert part in card.text
    assert "Load it after `import ginets`" not in card.text


def test_licence_of_the_base(run, tmp_path):
    """From the card of a base in a folder; nothing is made up where there is none."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text("---\nlicense: mit\n---\n")
    publish(str(run[0]), tmp_path / "known", base_model=str(tmp_path / "base"))
    assert ModelCard.load(tmp_path / "known" / "README.md").data.license == "mit"
    (run[0] / "README.md").unlink()
    publish(str(run[0]), tmp_path / "unknown")
    card = ModelCard.load(tmp_path / "unknown" / "README.md")
    assert card.data.license is None and "is not known here" in card.text and "| gi_query_side | True |" in card.text


def test_stock_model_is_published_plainly(tmp_path):
    model = tiny.randomise(BertForSequenceClassification(tiny.stock_config("bert_gi"))).eval()
    model.save_pretrained(tmp_path / "run")
    words.tokenizer().save_pretrained(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(
        json.dumps(config | {"auto_map": {"AutoConfig": "you/x--code.Config"}})
    )
    files = publish(str(tmp_path / "run"), tmp_path / "out")
    assert not [name for name in files if name.endswith(".py")]
    assert "auto_map" not in json.loads((tmp_path / "out" / "config.json").read_text())
    assert "trust_remote_code" not in (tmp_path / "out" / "README.md").read_text()
    assert torch.equal(outputs(load_for_inference(str(tmp_path / "out"))[0]), outputs(model))


def test_adapter(adapted, tmp_path):
    """As it is: without ginets PEFT refuses it with the error that the card names."""
    base = tiny.randomise(BertForSequenceClassification(tiny.stock_config("bert_gi", num_labels=3)))
    folder, model = adapted(base, InAConfig(r=4, init_weights=False, inhibition_level=0.3, task_type="SEQ_CLS"))
    files = publish(str(folder), tmp_path / "out", base_model=str(tmp_path / "base"), license="mit")
    assert set(files) == {"adapter_config.json", "adapter_model.safetensors", "base/config.json", "README.md",
                          "checksums.sha256"}  # fmt: skip
    torch.testing.assert_close(
        outputs(load_for_inference(str(tmp_path / "out"))[0]), outputs(model), rtol=0, atol=1e-6
    )
    publish(str(folder), tmp_path / "named", base_model="org/base", license="mit")
    assert (
        json.loads((tmp_path / "named" / "adapter_config.json").read_text())["base_model_name_or_path"] == "org/base"
    )
    assert '.from_pretrained("org/base", config=config)' in (tmp_path / "named" / "README.md").read_text()
    card = ModelCard.load(tmp_path / "out" / "README.md")
    job = {"path": str(tmp_path / "out"), "auto": "AutoModelForSequenceClassification", "trust": False,
           "base": str(tmp_path / "base"), "config": str(tmp_path / "out" / "base"), "output": "", "tokenizer": False}  # fmt: skip
    (found,) = ask_probe([job], without_ginets=True)
    assert found["error"] in card.text
    assert (
        card.data.get("library_name") == "peft"
        and 'pip install "ginets[adapters]"' in card.text
        and "InA" in card.text
    )


def test_adapter_that_peft_saved(adapted, tmp_path):
    """Beside it lies PEFT's form of a card, which nobody has filled in, with the folder of the base in a tag."""
    base = tiny.randomise(
        BertGIForSequenceClassification(tiny.config("bert_gi", num_labels=3, **tiny.BOTH, inhibition_scope="batch"))
    )
    base.save_pretrained(tmp_path / "base")
    base = BertGIForSequenceClassification.from_pretrained(tmp_path / "base")  # which knows where it comes from
    folder, _ = adapted(base, InAConfig(r=4, inhibition_level=0.3, task_type="SEQ_CLS"))
    left = (folder / "README.md").read_text()
    assert "Model Card for Model ID" in left and str(tmp_path) in left
    publish(str(folder), tmp_path / "out", base_model="org/base", license="mit")
    text = (tmp_path / "out" / "README.md").read_text()
    assert str(tmp_path) not in text and "More Information Needed" not in text and text.count("# out\n") == 1
    card = ModelCard(text)
    assert card.data.base_model == "org/base" and not [tag for tag in card.data.tags if ":" in tag]
    assert "ginets" in card.data.tags and '`inhibition_scope` is `"batch"`' in text  # of its base


def test_adapter_as_lora(adapted, tmp_path):
    base = tiny.randomise(BertForSequenceClassification(tiny.stock_config("bert_gi", num_labels=3)))
    folder, model = adapted(base, MTLoraConfig(r=4, init_weights=False, task_type="SEQ_CLS"))
    publish(str(folder), tmp_path / "out", as_lora=True, base_model=str(tmp_path / "base"))
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    found = without_ginets(
        tmp_path / "out", "AutoModelForSequenceClassification", tmp_path, base=str(tmp_path / "base"),
        config=str(tmp_path / "out" / "base"),
    )  # fmt: skip
    torch.testing.assert_close(found, outputs(model), rtol=0, atol=1e-5)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "plain LoRA" in card and "import ginets" not in card and "MTLoRA" in card


def test_folded_adapter(adapted, tmp_path):
    base = tiny.randomise(LlamaForCausalLM(tiny.stock_config("llama_ina")))
    folder, model = adapted(base, InAConfig(r=4, init_weights=False, inhibition_level=0.3, task_type="CAUSAL_LM"))
    files = publish(str(folder), tmp_path / "out", fold=True)
    assert "modeling_llama_ina.py" in files and "adapter_config.json" not in files
    found = without_ginets(tmp_path / "out", "AutoModelForCausalLM", tmp_path)
    torch.testing.assert_close(found, outputs(model), rtol=0, atol=1e-5)
    assert "folded" in (tmp_path / "out" / "README.md").read_text()


def test_onnx_lies_beside_the_weights(run, tmp_path, monkeypatch):
    """The export itself has its own test; here: in full precision, listed in the checksums, the weights as they were."""

    def export(model, path):
        assert model.dtype == torch.float32
        path.parent.mkdir()
        path.write_bytes(b"onnx")

    monkeypatch.setattr("ginets.hub.onnx.export_onnx", export)
    assert "onnx/model.onnx" in publish(str(run[0]), tmp_path / "out", onnx=True)
    assert "  onnx/model.onnx" in (tmp_path / "out" / "checksums.sha256").read_text()
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


def refused(tmp_path, capsys, text, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["publish", *(str(argument) for argument in (*arguments, "--to", tmp_path / "new"))])
    error = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and text in error
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new-*"))


def test_what_cannot_be_published(run, adapted, tmp_path, capsys):
    folder, _ = run
    refused(tmp_path, capsys, "as_lora is for adapters", folder, "--as-lora")
    refused(tmp_path, capsys, "--private and --revision are for --repo", folder, "--private")
    refused(tmp_path, capsys, "no model at", tmp_path / "nowhere")
    weights = load_file(folder / "model.safetensors")
    weights = {name: tensor for name, tensor in weights.items() if "inhibition_q" not in name}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(tmp_path, capsys, "inhibition_q.bias (6 tensors", folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    refused(tmp_path, capsys, "no weights at", folder)
    with pytest.raises(ValueError, match="is there and not empty"):
        publish(str(folder), folder)


def test_files_of_a_run_that_cannot_be_read(run, tmp_path, capsys, monkeypatch):
    """Found before weights are read, in one line that names the file."""
    folder, _ = run
    monkeypatch.setattr(module, "load_whole", None)
    card, config = (folder / "README.md").read_text(), (folder / "config.json").read_text()
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    refused(tmp_path, capsys, "README.md: its metadata cannot be read", folder)
    (folder / "README.md").write_text(card)
    (folder / "config.json").write_text(config.replace('"gi_query_side": true', '"gi_query_side": "left"'))
    refused(tmp_path, capsys, "gi_query_side", folder)
    (folder / "config.json").write_text(json.dumps(json.loads(config) | {"inhibition_level": 1.5}))
    refused(tmp_path, capsys, "config flag `inhibition_level` is 1.5; allowed: a number p with 0 <= p < 1", folder)
    (folder / "adapter_config.json").write_text("{")
    refused(tmp_path, capsys, "adapter_config.json: is no valid JSON", folder)


def test_adapter_that_cannot_be_published_so(adapted, tmp_path, capsys):
    base = BertForSequenceClassification(tiny.stock_config("bert_gi", num_labels=3))
    folder, _ = adapted(base, InAConfig(r=4, init_weights=False, inhibition_level=0.3, task_type="SEQ_CLS"))
    refused(tmp_path, capsys, "say with base_model (--base-model)", folder)
    refused(tmp_path, capsys, "inhibition_level", folder, "--as-lora", "--base-model", "org/base")
    refused(tmp_path, capsys, "BertForSequenceClassification", folder, "--fold")
    refused(tmp_path, capsys, "onnx is for complete encoders", folder, "--onnx")


def test_only_repo_sends(run, tmp_path, hub, capsys):
    assert main(["publish", str(run[0])]) == 0
    assert not hub.calls and "nothing was sent" in capsys.readouterr().out
    assert (tmp_path / "run-hub" / "config.json").is_file()
    arguments = ["--to", tmp_path / "two", "--repo", "me/mine", "--private", "--revision", "v1"]
    assert main(["publish", *(str(argument) for argument in (run[0], *arguments))]) == 0
    names = [name for name, *_ in hub.calls]
    assert names == ["whoami", "create_repo", "create_branch", "upload_folder"]
    assert hub.calls[1][1:] == (("me/mine",), {"private": True, "exist_ok": True})
    sent = hub.calls[3][2]
    assert (sent["repo_id"], sent["folder_path"], sent["revision"]) == ("me/mine", str(tmp_path / "two"), "v1")
    assert "https://huggingface.co/me/mine" in capsys.readouterr().out


def test_what_is_to_be_private_is_not_sent_to_a_public_repository(tmp_path, hub, monkeypatch):
    monkeypatch.setattr(hub, "private", False)
    with pytest.raises(ValueError, match="'me/mine' is there and public, nothing was sent"):
        module.push(tmp_path, "me/mine", private=True)
    assert [name for name, *_ in hub.calls] == ["create_repo"]
    assert module.push(tmp_path, "me/mine") == "https://huggingface.co/me/mine"


def test_nobody_logged_in(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    refused(tmp_path, capsys, "oken", run[0], "--repo", "me/mine")


def test_citations_are_those_of_the_repository():
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    entries = list(ENTRIES.values())
    for reference in (content, *content["references"]):
        (entry,) = (entry for entry in entries if f"title = {{{reference['title']}}}" in entry)
        assert str(reference.get("year", reference["version"] if reference is content else "")) in entry
        for author in reference["authors"]:
            assert author.get("name") or f"{author['family-names']}, {author['given-names']}" in entry
    assert len(entries) == 1 + len(content["references"])

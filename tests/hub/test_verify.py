"""`ginets verify`: a published folder passes; each thing that can be wrong with it is found and named."""

import json

import pytest
import torch
from peft import get_peft_model
from safetensors.torch import load_file, save_file
from transformers import BertForSequenceClassification

from ginets import BertGIForSequenceClassification, InAConfig
from ginets.cli import main
from ginets.hub import verify as module
from ginets.hub.publish import publish, write_checksums
from ginets.hub.verify import CHECKSUMS, compare, verify
from ginets.recipes.saved_adapters import save_base_config
from tests import tiny, words


@pytest.fixture
def published(tmp_path):
    model = tiny.randomise(BertGIForSequenceClassification(tiny.config("bert_gi", **tiny.BOTH)))
    model.save_pretrained(tmp_path / "run")
    words.tokenizer().save_pretrained(tmp_path / "run")
    publish(str(tmp_path / "run"), tmp_path / "out", license="mit")
    return tmp_path / "out"


def test_published_model_passes(published, capsys):
    assert main(["verify", str(published)]) == 0
    text = capsys.readouterr().out
    for part in ("loads as BertGIForSequenceClassification", "without ginets it loads and gives the same outputs",
                 "checksums agree", "the code is what ginets writes", "F32"):  # fmt: skip
        assert part in text
    assert "WRONG" not in text


def test_adapter_passes(tmp_path):
    """It cannot load without ginets: that is right, and said."""
    base = BertForSequenceClassification(tiny.stock_config("bert_gi"))
    base.save_pretrained(tmp_path / "base")
    model = get_peft_model(base, InAConfig(r=4, init_weights=False, inhibition_level=0.3, task_type="SEQ_CLS"))
    model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    model.save_pretrained(tmp_path / "run")
    save_base_config(model, tmp_path / "run")
    publish(str(tmp_path / "run"), tmp_path / "out", base_model=str(tmp_path / "base"), license="mit")
    report = verify(str(tmp_path / "out"))
    assert not report.wrong
    assert "without ginets it is refused: KeyError: 'GINETS_INA'" in report.right


def edit(path, **changes):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | changes))


def code_changed(folder):
    (folder / "gate.py").write_text("open('ran', 'w')\n" + (folder / "gate.py").read_text())
    (folder / CHECKSUMS).unlink()
    write_checksums(folder)


def weights_changed(folder):
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"].half()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def weights_cut(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def card(folder, text):
    (folder / "README.md").write_text(text)


@pytest.mark.parametrize("harm,message", [
    (code_changed, "gate.py is not what this version of ginets writes"),
    (code_changed, "not loaded: its code is not the code of ginets"),
    (weights_changed, "model.safetensors was changed after publishing"),
    (weights_changed, "config.json says float32; 1 tensors are not, e.g. classifier.bias"),
    (weights_cut, "the weights cannot be read"),
    (lambda folder: (folder / "gated.py").unlink(), "gated.py is missing: the model needs it without ginets"),
    (lambda folder: (folder / "extra.py").touch(), "extra.py is code that ginets does not write"),
    (lambda folder: torch.save({}, folder / "pytorch_model.bin"), "pytorch_model.bin may hold a pickle"),
    (lambda folder: (folder / "trainer_state.json").touch(), "trainer_state.json is left over from training"),
    (lambda folder: (folder / "note.txt").touch(), "note.txt is not in checksums.sha256"),
    (lambda folder: edit(folder / "config.json", auto_map={"AutoModel": "you/x--evil.Model"}), "auto_map does not name"),
    (lambda folder: edit(folder / "tokenizer_config.json", auto_map={}), "tokenizer_config.json: auto_map"),
    (lambda folder: (folder / "README.md").write_text("# mine"), "the metadata have no license"),
    (lambda folder: (folder / "README.md").unlink(), "README.md is missing"),
    (lambda folder: card(folder, "---\nlicense: mit\n---\n[More Information Needed]"), "[More Information Needed] stands in it"),
    (lambda folder: card(folder, "---\ntags:\n- base_model:adapter:/home/me/base\n---\n"), "name a folder, 'base_model:adapter:/home"),
    (lambda folder: card(folder, "---\nbase_model: ./base\n---\n"), "the metadata name a folder, './base'"),
    (lambda folder: edit(folder / "config.json", model_type=5), "auto_map does not name"),
    (lambda folder: (folder / "README.md").write_text("---\nlicense: [\n---\n"), "README.md: its metadata cannot be read"),
    (lambda folder: (folder / "config.json").write_text("{"), "config.json is no JSON object with fields"),
    (lambda folder: (folder / "config.json").write_text("[1]"), "config.json is no JSON object with fields"),
    (lambda folder: (folder / "weights.BIN").touch(), "weights.BIN may hold a pickle"),
])  # fmt: skip
def test_what_is_wrong_is_named(harm, message, published, monkeypatch):
    """Nothing is loaded here: what loads is the subject of the other tests."""
    monkeypatch.setattr(module, "check_loading", lambda *given: None)
    harm(published)
    assert [sentence for sentence in verify(str(published)).wrong if message in sentence]


@pytest.mark.parametrize("harm,message", [
    (lambda folder: edit(folder / "config.json", inhibition_level=1.5), "`inhibition_level` is 1.5; allowed: a number p"),
    (lambda folder: edit(folder / "config.json", gi_leyer_num=2), "did you mean `gi_layer_num`"),
    (lambda folder: edit(folder / "config.json", hidden_size="wide"), "hidden_size"),
])  # fmt: skip
def test_a_config_that_cannot_be_used_is_a_finding(harm, message, published, capsys):
    harm(published)
    assert main(["verify", str(published)]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "ginets cannot load it" in line]
    assert line.startswith("WRONG  ") and message in line and "config.json" in line


@pytest.mark.parametrize("content", [{"base_model_name_or_path": "x"}, {"peft_type": "LORA"}, {"peft_type": 3}])
def test_an_adapter_config_that_says_too_little_is_a_finding(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    save_file({"x": torch.ones(1)}, tmp_path / "adapter_model.safetensors")
    missing = "peft_type" if content.get("peft_type") != "LORA" else "base_model_name_or_path"
    assert [line for line in verify(str(tmp_path)).wrong if f"names no {missing}" in line]


def test_foreign_code_does_not_run(published, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(module, "ask_probe", lambda *given, **options: asked.append(given) or [{"error": "x"}])
    code_changed(published)
    assert main(["verify", str(published)]) == 1
    assert not asked and "WRONG  not loaded" in capsys.readouterr().out
    assert main(["verify", str(published), "--trust-remote-code"]) == 1
    assert len(asked) == 2


def test_code_that_computes_something_else(published):
    """What the two processes are for: other outputs without ginets."""
    text = (published / "gate.py").read_text()
    changed = text.replace("torch.addcmul(projection, projection,", "torch.addcmul(projection, -projection,")
    assert changed != text
    (published / "gate.py").write_text(changed)
    wrong = verify(str(published), trust_remote_code=True).wrong
    assert [sentence for sentence in wrong if sentence.startswith("logits with and without ginets differ by up to")]


def test_compare():
    facts = {"class": "A", "dtype": "float32", "tokens": [1]}
    ones = {"logits": torch.ones(2)}
    assert compare(facts, facts, ones, {"logits": torch.ones(2) + 5e-6}) == []
    assert "by up to 0.5" in compare(facts, facts, ones, {"logits": torch.ones(2) / 2})[0]
    assert "in shape" in compare(facts, facts, ones, {"logits": torch.ones(3)})[0]
    assert "not finite" in compare(facts, facts, {"logits": torch.tensor([1.0, torch.nan])}, ones)[0]
    assert "tokens differ" in compare(facts, facts | {"tokens": [2]}, ones, ones)[0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache of the Hub, and nothing behind it; `cache(folder)` puts a folder there as `me/mine`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(folder, branch="main", commit="a" * 40):
        repo = tmp_path / "cache" / "models--me--mine"
        for name in ("blobs", "refs", f"snapshots/{commit}"):
            (repo / name).mkdir(parents=True)
        (repo / "refs" / branch).write_text(commit)
        for path in sorted(folder.iterdir()):
            (repo / "blobs" / path.name).write_bytes(path.read_bytes())
            (repo / "snapshots" / commit / path.name).symlink_to(repo / "blobs" / path.name)
        return repo / "snapshots" / commit

    return put


def test_a_repository(published, cache, monkeypatch, capsys):
    """By its name and its revision, from the links of the cache."""
    snapshot, asked = cache(published, branch="v1"), []
    monkeypatch.setattr(module, "check_loading", lambda report, folder, files, config: asked.append(folder))
    assert main(["verify", "me/mine", "--revision", "v1"]) == 0
    assert asked == [snapshot] and "checksums agree" in capsys.readouterr().out
    (snapshot / "gate.py").unlink()
    assert main(["verify", "me/mine", "--revision", "v1"]) == 1
    assert "WRONG  gate.py is missing" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["me/other", "no such name!", "a/b/c"])
def test_no_such_repository(name, cache, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", name])
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and f"{name!r} is no folder and no repository that can be fetched (" in line


def test_no_such_place(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["verify", "/no/such/folder"])
    assert ended.value.code == 2 and "there is no folder '/no/such/folder'" in capsys.readouterr().err

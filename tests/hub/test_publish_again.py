"""Publishing a second time: what was sent in vain is sent again, what was looked at is sent later, nothing else is."""

import json

import pytest
import torch
from huggingface_hub.errors import HTTPError
from transformers import LlamaForCausalLM

from ginets import InAConfig, MTLoraConfig
from ginets.cli import main
from ginets.hub import publish as module
from ginets.hub.publish import publish
from ginets.hub.verify import files_in
from tests import tiny


def send(*arguments) -> int:
    return main(["publish", *map(str, arguments), "--repo", "me/mine"])


@pytest.mark.parametrize("error", [
    HTTPError("no route"), OSError("503 Server Error\n\nbusy"), RuntimeError("Error while uploading 'x'"),
])  # fmt: skip
def test_the_same_command_sends_again(error, run, tmp_path, hub, monkeypatch, capsys):
    class Broken(hub):
        def upload_folder(self, **options):
            raise error

    monkeypatch.setattr(module, "HfApi", Broken)
    with pytest.raises(SystemExit) as ended:
        send(run[0], "--to", tmp_path / "out")
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2 and "the same command sends it again (" in said and str(error).split()[0] in said
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in files_in(tmp_path / "out") if name != "README.md"}  # fmt: skip
    monkeypatch.setattr(module, "HfApi", hub)
    assert send(run[0], "--to", tmp_path / "out") == 0
    assert hub.calls[-1][0] == "upload_folder" and hub.calls[-1][2]["folder_path"] == str(tmp_path / "out")
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in before}
    assert not list(tmp_path.glob(".out-*"))


def test_json(run, tmp_path, hub, capsys):
    """Nothing else is printed, so that a program may read it."""
    out = tmp_path / "out"
    for more, address in ((["--repo", "me/mine"], "https://huggingface.co/me/mine"), ([], None)):
        out = out.with_name(f"out{len(more)}")
        assert main(["publish", str(run[0]), "--to", str(out), "--json", *more]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["folder"] == str(out) and said["address"] == address
        assert said["files"] == {name: (out / name).stat().st_size for name in files_in(out)}


def test_looked_at_first_and_sent_later(run, tmp_path, hub):
    """The card then has the name under which it is loaded."""
    assert main(["publish", str(run[0])]) == 0
    card = tmp_path / "run-hub" / "README.md"
    assert '"run-hub"' in card.read_text()
    assert send(run[0]) == 0
    assert '"me/mine"' in card.read_text() and "run-hub" not in card.read_text()
    publish(str(run[0]), tmp_path / "at once", name="me/mine")
    assert card.read_text() == (tmp_path / "at once" / "README.md").read_text()


def test_only_what_the_run_gives_is_sent(run, tmp_path, hub, capsys):
    """Each time nothing is sent, and the folder stays as it is."""
    folder, model = run
    out = tmp_path / "out"
    publish(str(folder), out)

    def refuses(text):
        kept = {name: (out / name).read_bytes() for name in files_in(out)}
        with pytest.raises(SystemExit) as ended:
            send(folder, "--to", out)
        assert ended.value.code == 2 and text in capsys.readouterr().err.splitlines()[-1]
        assert kept == {name: (out / name).read_bytes() for name in files_in(out)}
        assert [name for name, *_ in hub.calls if name != "whoami"] == []

    card = (out / "README.md").read_text()
    (out / "README.md").write_text(card + "\nMore.\n")
    refuses("delete it to have it written anew, or send the folder as it is: hf upload USER/NAME")
    (out / "README.md").unlink()
    (out / "notes.txt").touch()
    refuses("notes.txt is not in checksums.sha256")
    (out / "notes.txt").unlink()
    config = (out / "config.json").read_text()
    (out / "config.json").write_text(config + " ")
    refuses("config.json was changed after publishing")
    (out / "config.json").write_text(config)
    with torch.no_grad():
        next(model.parameters()).add_(1)
    model.save_pretrained(folder)  # trained on
    refuses("was published from something else: model.safetensors")
    with torch.no_grad():
        next(model.parameters()).sub_(1)


@pytest.mark.parametrize("form", [{}, {"as_lora": True}, {"fold": True}])
def test_adapters_are_sent_again(form, adapted, tmp_path):
    """In each of their forms the same files are written twice."""
    base = tiny.randomise(LlamaForCausalLM(tiny.stock_config("llama_ina")))
    method = MTLoraConfig if "as_lora" in form else InAConfig
    folder, _ = adapted(base, method(r=4, init_weights=False, task_type="CAUSAL_LM"))
    files = publish(str(folder), tmp_path / "out", base_model="org/base", **form)
    assert publish(str(folder), tmp_path / "out", base_model="org/base", **form) == files
    with pytest.raises(ValueError, match="published from something else"):
        publish(str(folder), tmp_path / "out", base_model="org/base", **{"as_lora": False} if form else {"fold": True})

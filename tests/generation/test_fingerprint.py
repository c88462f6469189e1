"""What texts depend on has a name, and a run that was broken off does not go on with something else."""

import json

import pytest
from huggingface_hub import constants
from peft import LoraConfig, get_peft_model

from ginets.data.tabular import DataError
from ginets.generation import run
from ginets.generation.decoding import Decoding
from ginets.generation.fingerprint import digest, fingerprint, fingerprints
from ginets.generation.prompts import Prompt
from ginets.generation.writer import load_writer
from tests.generation.models import make_model, save


SIZE = 5_000_000


def test_any_byte_of_the_weights(tmp_path):
    file = tmp_path / "model-00002-of-00002.safetensors"
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"0")
    seen = set()
    for at in (None, 0, SIZE // 2, SIZE - 1):
        content = bytearray(SIZE)
        if at is not None:
            content[at] = 1
        file.write_bytes(content)
        seen.add(fingerprint(str(tmp_path)))
    file.write_bytes(bytes(SIZE - 1))
    seen.add(fingerprint(str(tmp_path)))
    assert len(seen) == 5
    file.write_bytes(bytes(SIZE))  # written anew, with the same content
    assert fingerprint(str(tmp_path)) in seen


@pytest.mark.parametrize("name", ["config.json", "adapter_config.json", "generation_config.json", "base/config.json"])
def test_settings(name, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"inhibition_level": 0.3}')
    first = fingerprint(str(tmp_path))
    (tmp_path / name).write_text('{"inhibition_level": 0.4}')
    assert fingerprint(str(tmp_path)) != first


def test_prompts():
    assert digest([Prompt("0", "a", [1, 2])]) != digest([Prompt("0", "a", [1, 3])])
    assert digest([Prompt("0", "a", [1, 2])]) != digest([Prompt("1", "a", [1, 2])])


def test_on_the_hub(tmp_path, monkeypatch):
    """By the commit that is in the cache, else by the revision; for an adapter, the one that it asks for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert fingerprint("org/name") == "org/name@main"
    assert fingerprint(str(tmp_path / "nowhere")).endswith("nowhere@main")

    def fetched(revision: str, commit: str) -> None:
        place = tmp_path / "models--org--name"
        for folder in (place / "refs", place / "snapshots" / commit):
            folder.mkdir(parents=True, exist_ok=True)
        (place / "refs" / revision).write_text(commit)
        (place / "snapshots" / commit / "config.json").write_text("{}")

    fetched("main", "a" * 40)
    fetched("v1", "b" * 40)
    assert fingerprints("org/name") == {"weights": f"org/name@{'a' * 40}", "base": None}
    fetched("main", "c" * 40)
    assert fingerprint("org/name") == f"org/name@{'c' * 40}"
    (tmp_path / "adapter").mkdir()
    for revision, commit in ((None, "c"), ("v1", "b")):
        adapter = {"base_model_name_or_path": "org/name", "revision": revision}
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(adapter))
        assert fingerprints(str(tmp_path / "adapter"))["base"] == f"org/name@{commit * 40}"


class Killed(BaseException):
    """What no handler of errors catches."""


def test_another_base_is_refused(tmp_path, monkeypatch):
    """Begun with one base and resumed with another, the file would hold texts of two models."""
    base = save(tmp_path / "base")
    adapted = get_peft_model(make_model("gpt2"), LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False))
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.save_pretrained(tmp_path / "adapter")
    prompts = [Prompt(str(at), "x", [4 + at, 5]) for at in range(3)]

    def generate():
        given = (str(tmp_path / "adapter"), prompts, Decoding(max_new_tokens=4), tmp_path / "texts.jsonl")
        return run.generate_file(*given, batch_size=1, quiet=True)

    def dying(*given):
        write, asked = load_writer(*given), []

        def one(ids, seed):
            asked.append(ids)
            if len(asked) == 3:
                raise Killed
            return write(ids, seed)

        return one

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(run, "load_writer", dying)
        generate()
    make_model("gpt2", seed=1).save_pretrained(base)
    with pytest.raises(DataError, match=r"was begun with base '\w{16}', not '\w{16}'; give the same settings"):
        generate()
    make_model("gpt2").save_pretrained(base)
    texts = generate()
    (tmp_path / "texts.jsonl").unlink()
    assert generate() == texts

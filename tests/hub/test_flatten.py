"""Generated code: every family and head, loaded in an interpreter without ginets, gives the outputs of our classes."""

import ast
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers.dynamic_module_utils import get_imports, get_relative_imports

from ginets.hub import probe
from ginets.hub.flatten import auto_map, code_files, family_of, flatten
from ginets.hub.verify import ask_probe
from ginets.models import gated
from ginets.models.auto import FAMILIES
from tests import tiny


FLAGS = {
    "bert_gi": tiny.BOTH | {"gi_rank": 8},
    "roberta_gi": tiny.BOTH | {"gi_layer_num": 2},
    "deberta_v2_gi": tiny.BOTH,
    "llama_ina": {"ina_target_modules": ["q_proj", "v_proj", "down_proj"], "ina_rank": 4},
}


@pytest.mark.parametrize("model_type", FLAGS)
def test_every_head_without_ginets(model_type, tmp_path):
    """One process for the family: each head in a folder of its own with the same code."""
    family, jobs, expected = tiny.BY_TYPE[model_type], [], []
    for auto_class, target in auto_map(family).items():
        if auto_class == "AutoConfig":
            continue
        model_class = family.classes[target.partition(".")[2]]
        model = tiny.randomise(model_class(tiny.config(model_type, **FLAGS[model_type]))).eval()
        folder = tmp_path / auto_class
        model.save_pretrained(folder)
        for name, text in code_files(family).items():
            (folder / name).write_text(text, encoding="utf-8")
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"auto_map": auto_map(family)}))
        jobs.append({"path": str(folder), "auto": auto_class, "trust": True, "tokenizer": False,
                     "output": str(folder / "outputs")})  # fmt: skip
        with torch.no_grad():
            outputs = model(**probe.example(model.config, model_class.__name__.endswith("MultipleChoice")))
        expected.append({name: value for name, value in outputs.items() if torch.is_tensor(value)})

    for job, wanted, found in zip(jobs, expected, ask_probe(jobs, without_ginets=True), strict=True):
        assert "error" not in found, f"{job['auto']}: {found}"
        assert found["module"].startswith("transformers_modules."), found
        outputs = load_file(job["output"])
        assert outputs.keys() == wanted.keys()
        for name, tensor in wanted.items():
            torch.testing.assert_close(outputs[name], tensor, rtol=0, atol=1e-6, msg=f"{job['auto']}: {name}")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.prefix)
def test_files_are_all_there_is(family, tmp_path):
    """What transformers' own scanner finds in them: files of the folder, and two packages that everybody has."""
    files = code_files(family)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name, text in files.items():
        ast.parse(text)
        assert {f"{module}.py" for module in get_relative_imports(tmp_path / name)} <= files.keys()
        assert (
            set(get_imports(tmp_path / name)) <= {"torch", "transformers", "huggingface_hub"} | sys.stdlib_module_names
        )
    assert {target.partition(".")[0] + ".py" for target in auto_map(family).values()} <= files.keys()


def test_auto_map_names_every_head():
    for family in FAMILIES:
        named = {target.partition(".")[2] for target in auto_map(family).values()}
        assert named == family.classes.keys()
        assert family_of(family.config()) is family
        assert family_of(family.stock_config()) is None


def test_only_the_imports_change():
    text, needed = flatten("ginets.models.gated")
    assert needed == ["ginets.ops.gate", "ginets.models.attention", "ginets.models.flags", "ginets.models.pretrained"]
    ours = Path(gated.__file__).read_text(encoding="utf-8").splitlines()
    theirs = text.splitlines()[2:]
    changed = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    assert changed == [("from ..ops.gate import gate_projection", "from .gate import gate_projection")]


@pytest.mark.parametrize(
    "line", ["from . import flags", "import ginets", "from ginets.models import flags", "from ..ops import gate"]
)
def test_imports_that_the_loader_cannot_follow(line, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "new.py").write_text(f"{line}\n")
    monkeypatch.setattr("ginets.hub.flatten.ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"new\.py, line 1"):
        flatten("ginets.models.new")

"""The Python code on the pages about methods runs, one page after the other, on tiny models under the names they use."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from tests.recipes.glue_fixtures import make_model
from tests.tiny import stock_config


ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "methods").glob("*.md"))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """What the pages speak of: models, and an adapter in the format of the original InA code."""
    make_model(tmp_path / "google-bert" / "bert-base-uncased", hidden_size=32, num_hidden_layers=2)
    LlamaForCausalLM(stock_config("llama_ina")).save_pretrained(tmp_path / "meta-llama" / "Llama-3.2-1B")
    adapter, place = tmp_path / "their-adapter", "base_model.model.bert.encoder.layer.0.attention.self.query.lora_"
    adapter.mkdir()
    tensors = {f"{place}A.weight": torch.randn(4, 32), f"{place}B.weight": torch.randn(32, 4)}
    save_file(tensors, adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "target_modules": ["query"], "lora_inhibition": 0.3}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_blocks(page, workplace):
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, f"{page.name}", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target

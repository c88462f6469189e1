"""Folders of runs, and what stands for the Hub."""

from types import SimpleNamespace

import pytest
from peft import get_peft_model

from ginets import BertGIForSequenceClassification
from ginets.hub import publish as module
from ginets.hub.card import CardFacts, make_card
from ginets.recipes.saved_adapters import save_base_config
from tests import tiny, words


LEFT_OVER = ("training_args.bin", "optimizer.pt", "trainer_state.json", "checkpoint-5/model.safetensors", "notes.txt")
CARD = {"name": "run", "base_model": "org/base", "task_type": "text-classification", "dataset": "GLUE mrpc",
        "split": "validation", "metrics": {"f1": 0.8125}, "seed": 7, "flags": {"gi_query_side": True},
        "command": "run_glue.py --seed 7", "curve": "learning_curve.png"}  # fmt: skip


def leave(folder):
    for name in LEFT_OVER:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")


@pytest.fixture
def run(tmp_path):
    """The folder of a run with a gated classifier, in half precision, and its model."""
    model = tiny.randomise(BertGIForSequenceClassification(tiny.config("bert_gi", num_labels=3, **tiny.BOTH))).eval()
    folder = tmp_path / "run"
    model.bfloat16().save_pretrained(folder)
    words.tokenizer().save_pretrained(folder)
    make_card(CardFacts(**CARD)).save(folder / "README.md")
    (folder / "learning_curve.png").write_bytes(b"png")
    leave(folder)
    return folder, model


@pytest.fixture
def adapted(tmp_path):
    """Makes the folder of a run with an adapter, as the recipes leave it; returns it and the live model."""

    def make(base, adapter_config):
        base.save_pretrained(tmp_path / "base")
        words.tokenizer().save_pretrained(tmp_path / "base")
        model = get_peft_model(base, adapter_config).eval()
        model.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
        model.save_pretrained(tmp_path / "run")
        save_base_config(model, tmp_path / "run")
        leave(tmp_path / "run")
        return tmp_path / "run", model

    return make


class Hub:
    """Stands for `HfApi`: notes what would be sent."""

    calls, private = [], True

    def repo_info(self, repo):
        return SimpleNamespace(private=self.private)

    def __getattr__(self, name):
        return lambda *arguments, **options: self.calls.append((name, arguments, options)) or {"name": "me"}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(module, "HfApi", Hub)
    monkeypatch.setattr(Hub, "calls", [])
    return Hub

"""Every command and snippet of the README runs. The `make` lines are what CI runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertForMaskedLM

from tests.recipes.glue_fixtures import make_model
from tests.recipes.squad_fixtures import make_squad


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
SCRIPT = """
import sys
from transformers import AutoModel
assert type(AutoModel.from_pretrained(sys.argv[2])).__name__ == "BertGIModel"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def workplace(tmp_path):
    """What the README speaks of: a stock BERT, an edited one, GLUE and SQuAD files, a stock script."""
    (flags,) = blocks("json")
    for name in ("google-bert/bert-base-uncased", "my-bert"):
        make_model(tmp_path / name, num_hidden_layers=6, max_position_embeddings=512)
    path = tmp_path / "my-bert" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | json.loads("{" + flags + "}")))
    (tmp_path / "GLUE" / "MRPC").mkdir(parents=True)
    rows = "".join(
        f"{i % 2}\t{i}\t{i}\ta good film\t{'a great' if i % 2 else 'it was a bad'} book\n" for i in range(32)
    )
    for split in ("train", "dev"):
        (tmp_path / "GLUE" / "MRPC" / f"{split}.tsv").write_text("\ufeff" + HEADER + rows)
    for split in ("train", "dev"):
        make_squad(tmp_path / f"{split}.json", questions=12)
    (tmp_path / "stock_script.py").write_text(SCRIPT)
    return tmp_path


def test_python_blocks(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    namespace = {}
    for block in blocks("python"):
        exec(block, namespace)
    assert "BertGIForSequenceClassification" in capsys.readouterr().out
    assert namespace["model"].config.gi_key_side and not namespace["model"].config.gi_query_side
    assert type(BertForMaskedLM.from_pretrained("my-bert")) is BertForMaskedLM


def test_shell_commands(workplace):
    text = "\n".join(blocks("bash")).replace("\\\n", " ")
    commands = [words for line in text.splitlines() if (words := line.split("#")[0].split())]
    assert {words[1] for words in commands if words[0] == "make"} == {"demo", "test"}
    others = [words for words in commands if words[0] != "make"]
    assert others
    for program, *words in others:
        assert program == "python"
        words = [str(ROOT / word) if word in ("run_glue.py", "run_squad.py") else word for word in words]
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        run = subprocess.run([sys.executable, *words], cwd=workplace, capture_output=True, text=True, env=environment)
        assert run.returncode == 0, run.stderr[-2000:]
    figures = json.loads((workplace / "runs" / "mrpc" / "all_results.json").read_text())
    assert 0 <= figures["eval_f1"] <= 1
    assert (workplace / "runs" / "squad" / "null_odds.json").exists()
    assert json.loads((workplace / "runs" / "mrpc" / "config.json").read_text())["model_type"] == "bert_gi"


def test_links_and_zoo_names():
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_ci_runs_the_two_commands():
    gate = (ROOT / ".ci" / "run").read_text()
    assert "make demo" in gate and "make test" in gate

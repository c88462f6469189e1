"""Every command and snippet of the README runs.

| command | executed by |
|---|---|
| `make demo`, `make test` | the gate, `.ci/run`, of which these tests are a part |
| those of "From a trained model to its users" | `test_release.py`, in their order |
| all others | here, with tiny models under the names of the Hub |
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertForMaskedLM

from tests.markdown import blocks, commands, section
from tests.recipes.glue_fixtures import make_model
from tests.recipes.squad_fixtures import make_squad


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RELEASE = section(README, "From a trained model to its users")
OTHERS = README.replace(RELEASE, "")
HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
SCRIPT = """
import sys
from transformers import AutoModel
assert type(AutoModel.from_pretrained(sys.argv[2])).__name__ == "BertGIModel"
"""


def make_mrpc(folder: Path) -> None:
    (folder / "MRPC").mkdir(parents=True)
    rows = "".join(
        f"{i % 2}\t{i}\t{i}\ta good film\t{'a great' if i % 2 else 'it was a bad'} book\n" for i in range(32)
    )
    for split in ("train", "dev"):
        (folder / "MRPC" / f"{split}.tsv").write_text("\ufeff" + HEADER + rows)


def run(words: list[str], folder: Path) -> str:
    """What a command of the README prints, with the scripts of the repository and this Python."""
    programs = {"python": [sys.executable], "ginets": [sys.executable, "-m", "ginets.cli"]}
    scripts = {name: str(ROOT / name) for name in ("run_glue.py", "run_squad.py")}
    program, *rest = words
    done = subprocess.run(
        [*programs.get(program, [program]), *(scripts.get(word, word) for word in rest)],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


@pytest.fixture
def workplace(tmp_path):
    """What the README speaks of: a stock BERT, an edited one, SQuAD files, a stock script."""
    (flags,) = blocks(README, "json")
    for name in ("google-bert/bert-base-uncased", "my-bert"):
        make_model(tmp_path / name, num_hidden_layers=6, max_position_embeddings=512)
    path = tmp_path / "my-bert" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | json.loads("{" + flags + "}")))
    for split in ("train", "dev"):
        make_squad(tmp_path / f"{split}.json", questions=12)
    (tmp_path / "stock_script.py").write_text(SCRIPT)
    return tmp_path


def test_python_blocks(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    namespace = {}
    for block in blocks(OTHERS, "python"):
        exec(block, namespace)
    assert "BertGIForSequenceClassification" in capsys.readouterr().out
    assert namespace["model"].config.gi_key_side and not namespace["model"].config.gi_query_side
    assert type(BertForMaskedLM.from_pretrained("my-bert")) is BertForMaskedLM


def test_shell_commands(workplace):
    found = commands(*blocks(OTHERS, "bash"))
    assert [words for words in found if words[0] == "make"] == [["make", "demo"], ["make", "test"]]
    others = [words for words in found if words[0] != "make"]
    assert len(others) == 2
    for words in others:
        run(words, workplace)
    assert (workplace / "runs" / "squad" / "null_odds.json").exists()


def test_verbs_of_the_table():
    """What the table calls a verb is one."""
    words = run(["ginets", "--help"], ROOT).split()
    table = section(README, "What is there")
    named = {line.split("`")[1].split()[1].rstrip("`") for line in table.splitlines() if line.startswith("| `ginets ")}
    assert named >= {"train", "eval", "serve", "publish"} and named <= set(words)


def test_the_gate_runs_the_two_commands():
    gate = (ROOT / ".ci" / "run").read_text()
    assert "make demo" in gate and "make test" in gate

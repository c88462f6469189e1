"""The pages: their Python runs on tiny models under the names they use, their commands are understood by the real command
line, their links lead to files and headings of the repository.
"""

import ast
import importlib
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, LlamaForCausalLM

import ginets
from ginets.cli import command as verbs
from ginets.cli import main
from ginets.recipes.commands import COMMANDS
from ginets.recipes.recipe_files import expand
from tests.generation import models as writers
from tests.markdown import anchors, blocks, links, shell_commands
from tests.recipes.glue_fixtures import make_model
from tests.recipes.squad_fixtures import make_squad
from tests.serve.models import make_adapter
from tests.tiny import stock_config


ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*DOCS, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "models/README.md", "recipes/README.md"))]
WITH_PYTHON = [page for page in DOCS if blocks(page.read_text(encoding="utf-8"), "python")]
# page → why its blocks are compiled and their imports looked up, and no more
NOT_EXECUTED = {
    "nlg": "loads from the Hub",
    "publishing": "loads from the Hub, without ginets; tests/hub does so from a folder",
    "serving": "needs a server; tests/serve/test_process.py runs the client against one",
    "squad": "a metric for stock scripts, which need `evaluate`",
}
# what the blocks run with instead: the zoo's base is as large as its name says, processes take long to start
STAND_INS = {"bert-base-uncased-gi": "bert-tiny-gi", "workers=2": "workers=1"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).with_suffix("").as_posix()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """What the pages speak of: models, runs, prompts, and an adapter in the format of the original InA code."""
    figures = AutoConfig.from_pretrained(ginets.model_path("bert-tiny-gi")).to_dict()
    sizes = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "max_position_embeddings")  # fmt: skip
    base = tmp_path / "google-bert" / "bert-base-uncased"
    make_model(base, **{name: figures[name] for name in sizes})
    for name in ("meta-llama/Llama-3.2-1B", "my-llama"):
        LlamaForCausalLM(stock_config("llama_ina")).save_pretrained(tmp_path / name)
    for run, method in (("ina-0.3", "ina"), ("ina", "ina"), ("lora", "lora")):
        make_adapter(tmp_path / "runs" / run, str(base), method, seed=1)
    make_squad(tmp_path / "dev.json", questions=4)
    writers.save(tmp_path / "runs" / "e2e", "gpt2", n_positions=128)
    writers.write_prompts(tmp_path / "prompts.txt", 4)
    adapter, place = tmp_path / "their-adapter", "base_model.model.bert.encoder.layer.0.attention.self.query.lora_"
    adapter.mkdir()
    tensors = {f"{place}A.weight": torch.randn(4, 32), f"{place}B.weight": torch.randn(32, 4)}
    save_file(tensors, adapter / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "target_modules": ["query"], "lora_inhibition": 0.3}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python_of(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    for name, other in STAND_INS.items():
        text = text.replace(name, other)
    return blocks(text, "python")


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page.stem not in NOT_EXECUTED], ids=name_of)
def test_python_runs(page, workplace):
    namespace = {"__name__": "page"}
    for block in python_of(page):
        exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("page", [page for page in WITH_PYTHON if page.stem in NOT_EXECUTED], ids=name_of)
def test_python_is_sound(page):
    for block in python_of(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and find_spec(node.module.split(".")[0]):
                assert all(hasattr(importlib.import_module(node.module), alias.name) for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page):
    text = page.read_text(encoding="utf-8")
    for path, anchor in links(text):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


class Understood(Exception):
    """Words have passed the parser of a verb."""


def stop(*_):
    raise Understood


def check_verb(words: list[str], monkeypatch) -> None:
    """Give the words to the command line up to where the work would begin."""
    train = next((verb for verb in COMMANDS if words[: len(verb.split())] == verb.split()), None)
    if train and "--help" not in words:
        command = COMMANDS[train]
        rest = expand(words[len(train.split()) :], command.recipes)
        command.parse_all(rest if "--use_cpu" in rest else [*rest, "--use_cpu"])  # precisions that CPUs lack
    elif words[0] == "run":
        assert len(words) > 1
    else:
        monkeypatch.setattr(verbs, "in_one_line", stop)
        with pytest.raises((Understood, SystemExit)) as end:
            raise SystemExit(main(words))
        assert end.type is Understood or end.value.code == 0, words


def check_pip(words: list[str], _) -> None:
    """The extras that are installed exist."""
    known = set(re.findall(r'^    "(\w+)": \[', (ROOT / "setup.py").read_text(), flags=re.MULTILINE))
    for extras in re.findall(r"\[(.+?)\]", " ".join(words)):
        assert set(extras.split(",")) <= known, words


def check_python(words: list[str], monkeypatch) -> None:
    scripts = {"run_glue.py": "glue", "run_squad.py": "squad"}
    if words[:2] == ["-m", "ginets.cli"]:
        check_verb(words[2:], monkeypatch)
    elif words[:2] == ["-m", "ginets.run"]:
        check_verb(["run", *words[2:]], monkeypatch)
    elif words[0] == "-m":
        assert hasattr(importlib.import_module(words[1]), "main")
    elif words[0] in scripts and words[1:]:
        check_verb([scripts[words[0]], *words[1:]], monkeypatch)
    else:
        assert (ROOT / words[0]).is_file()


def check_launch(words: list[str], monkeypatch) -> None:
    """What a launcher starts; that it is launched well is for tests/test_scale.py to say."""
    check_python(words[words.index("-m") :], monkeypatch)


def check_make(words: list[str], _) -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(words) <= set(targets)


def check_curl(words: list[str], _) -> None:
    assert json.loads(words[words.index("-d") + 1])


def check_vllm(words: list[str], _) -> None:
    """Not run anywhere: vLLM cannot be installed beside this stack."""


PROGRAMS = {
    "accelerate": check_launch, "curl": check_curl, "ginets": check_verb, "make": check_make, "pip": check_pip,
    "python": check_python, "torchrun": check_launch, "vllm": check_vllm,
}  # fmt: skip


def said(words: list[str]) -> list[str]:
    """Without what stands for more: `[--option VALUE]`, `...`."""
    line = re.sub(r" \[.*?\](?= |$)", "", " ".join(words)) if words[0] != "pip" else None
    kept = line.split(" ") if line and line != " ".join(words) else words
    return [word for word in kept if word not in ("...", "…")]


def commands_of(page: Path) -> list[list[str]]:
    # pages made from help have the form of a verb in an indented block
    return shell_commands(page.read_text(encoding="utf-8"), fenced_only=page.parent.name == "cli")


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page)], ids=name_of)
def test_commands(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands_of(page):
        program, *rest = said(words)
        with monkeypatch.context() as patch:
            PROGRAMS[program](rest, patch)


def test_commands_can_be_wrong(monkeypatch):
    """The check is one: misspelt options, verbs, extras and targets do not pass."""
    for check, words in (
        (check_verb, ["glue", "--model_name_or_path", "x", "--gi_qurey_side", "--output_dir", "y"]),
        (check_verb, ["publish", "runs/mrpc", "--too", "x"]),
        (check_verb, ["serv", "runs/mrpc"]),
        (check_pip, ["install", "-e", ".[srve]"]),
        (check_make, ["documentation"]),
        (check_python, ["run_glu.py"]),
    ):
        with monkeypatch.context() as patch, pytest.raises((AssertionError, ValueError, SystemExit)):
            check(words, patch)

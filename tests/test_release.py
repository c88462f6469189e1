"""The README's way from a trained model to its users, command by command: train, publish, verify, serve, ask.

The models are tiny and stand under the names of the Hub, the port is a free one, trainings are short; otherwise the
commands are those of the README.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from ginets import BertGIForSequenceClassification, LlamaInAForCausalLM
from ginets.cli import main
from tests.generation.models import make_model as make_writer
from tests.markdown import blocks, commands
from tests.recipes.glue_fixtures import make_model
from tests.test_readme import RELEASE, make_mrpc, run
from tests.tiny_language import LETTERS, make_tokenizer


ADDRESS = "127.0.0.1:8000"
COMMANDS = commands(*blocks(RELEASE, "bash"))
SHORT = ["--max_steps", "4", "--report_to", "none"]


def make_llama(folder: Path) -> None:
    """Large enough for the prompts of Alpaca's template."""
    make_writer("llama", max_position_embeddings=512).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)


def make_instructions(path: Path) -> None:
    rows = [{"instruction": f"{a} {b}", "input": "", "output": f"{b} {a}"} for a in LETTERS[:6] for b in LETTERS[:4]]
    path.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """The models, GLUE and the instructions that the section speaks of."""
    folder = tmp_path_factory.mktemp("release")
    make_model(folder / "google-bert" / "bert-base-uncased", num_hidden_layers=2, max_position_embeddings=128)
    make_llama(folder / "meta-llama" / "Llama-3.2-1B")
    make_mrpc(folder / "GLUE")
    make_instructions(folder / "alpaca.json")
    return folder


@pytest.fixture(scope="module")
def published(workplace) -> Path:
    """Everything up to the server has been done."""
    verbs = [words[1] for words in COMMANDS if words[0] == "ginets"]
    assert verbs == ["train", "publish", "publish", "verify", "verify", "serve", "ui"]
    before = COMMANDS[: COMMANDS.index(command("serve"))]
    assert before[0][:2] == ["python", "run_glue.py"] and len(before) == 6
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workplace)
        for program, *words in before:
            if "--do_train" in words:
                run([program, *words, *SHORT], workplace)
            else:  # in this process, for the sake of time
                assert main(words) == 0
    return workplace


def command(verb: str) -> list[str]:
    """The words of the section's `ginets VERB`."""
    return next(words for words in COMMANDS if words[:2] == ["ginets", verb])


@contextmanager
def running_at_free_port(words: list[str], folder: Path, ready: str):
    """The address at which `ginets serve` or `ginets ui` answers, once its path `ready` does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / f"{words[1]}.log"
    with log.open("w") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "ginets.cli", *words[1:], "--port", str(port)],
            cwd=folder, stdout=file, stderr=file, env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    try:
        end = time.monotonic() + 300
        while not is_ready(f"http://127.0.0.1:{port}{ready}"):
            assert running.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        running.terminate()
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()


def is_ready(url: str) -> bool:
    try:
        return urllib.request.urlopen(url).status == 200
    except urllib.error.URLError:  # not listening yet, or 503
        return False


@pytest.fixture(scope="module")
def address(published):
    pytest.importorskip("fastapi", reason="ginets[serve] is not installed")
    with running_at_free_port(command("serve"), published, "/ready") as address:
        yield address


def test_published_folders(published):
    """Their own types, with the trained weights, and nothing but what users need."""
    config = json.loads((published / "mrpc-gi" / "config.json").read_text())
    assert config["model_type"] == "bert_gi" and config["gi_query_side"] and config["gi_key_side"]
    assert json.loads((published / "llama-ina" / "config.json").read_text())["ina_target_modules"] == [
        "q_proj",
        "v_proj",
    ]
    figures = json.loads((published / "runs" / "mrpc" / "all_results.json").read_text())
    assert f"{figures['eval_f1']:.4f}"[:5] in (published / "mrpc-gi" / "README.md").read_text()
    assert not list(published.glob("*-*/*.bin")) and not list(published.glob("*-*/checkpoint-*"))
    for folder, kind in (("mrpc-gi", BertGIForSequenceClassification), ("llama-ina", LlamaInAForCausalLM)):
        assert {name for name, _ in kind.from_pretrained(published / folder).named_parameters() if "inhibition" in name or "_ina" in name}  # fmt: skip


def test_curl(published, address):
    """The answer of the published model as transformers' own pipeline gives it."""
    curl = next(words for words in COMMANDS if words[0] == "curl")
    if not shutil.which("curl"):
        pytest.skip("no curl")
    words = [word.replace(ADDRESS, address) for word in [*curl, "--silent", "--show-error", "--fail-with-body"]]
    (found,) = json.loads(run(words, published))["results"]
    asked = json.loads(curl[curl.index("-d") + 1])["inputs"]
    folder = published / "mrpc-gi"
    judge = pipeline(
        "text-classification",
        model=AutoModelForSequenceClassification.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )
    expected = judge(asked)
    assert found["label"] == expected["label"] and found["score"] == pytest.approx(expected["score"], abs=1e-5)


def test_openai(published, address, capsys):
    pytest.importorskip("openai", reason="the official client is not installed")
    (script,) = blocks(RELEASE, "python")
    namespace = {}
    exec(script.replace(ADDRESS, address), namespace)
    said = capsys.readouterr().out.strip()
    assert said == namespace["answer"].choices[0].message.content.strip()
    assert namespace["answer"].model == "llama-ina" and namespace["answer"].usage.completion_tokens > 0
    assert re.search(rf"[{''.join(LETTERS)}]", said)


def test_page(published, address, browser):
    """The page asks the same server: its answer is the one that the server gives."""
    pytest.importorskip("gradio", reason="ginets[ui] is not installed")
    body = json.dumps({"model": "mrpc-gi", "inputs": "a good film"}).encode()
    question = urllib.request.Request(
        f"http://{address}/v1/classify", body, headers={"Content-Type": "application/json"}
    )
    (expected,) = json.load(urllib.request.urlopen(question))["results"]
    words = [word.replace(ADDRESS, address) for word in command("ui")]
    with running_at_free_port(words, published, "/") as place:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"http://{place}")
        page.get_by_label("Text", exact=True).fill("a good film")
        page.get_by_role("button", name="Classify").click()
        found = page.locator(".answer .lead:visible").first
        found.wait_for()
        assert found.inner_text() == f"{expected['label']} ({expected['score']:.1%})"
        page.close()

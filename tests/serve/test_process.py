"""`ginets serve` as a process: its command line, the official client, and that SIGTERM loses nothing."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from ginets.cli import main
from ginets.serve.opening import read_names
from tests.serve.test_language import written


@contextmanager
def process(*arguments: str, **environment: str):
    """Its URL once it is ready, the process, and the lines of its log."""
    command = [sys.executable, "-m", "ginets.cli", "serve", *arguments, "--port", "0"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | environment
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    lines: list[dict] = []
    ready = threading.Event()

    def read():
        for line in running.stderr:
            lines.append(json.loads(line))  # every line
            if lines[-1]["message"] == "ready":
                ready.set()
        ready.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert ready.wait(120) and running.poll() is None, lines
        (url,) = [line["url"] for line in lines if line["message"] == "listening"]
        yield url, running, lines
    finally:
        running.kill()
        running.wait()
        reader.join()
        running.stderr.close()


@pytest.fixture(scope="module")
def language(zoo):
    with process(f"gpt={zoo['gpt']}", GINETS_API_KEY="secret") as (url, *_):
        yield url


def test_official_client(zoo, language):
    openai = pytest.importorskip("openai", reason="the official client is not installed")
    client = openai.OpenAI(base_url=f"{language}/v1", api_key="secret", max_retries=0)
    assert [model.id for model in client.models.list()] == ["gpt"]
    settings = {"model": "gpt", "temperature": 0, "max_tokens": 9}
    whole = client.completions.create(prompt="c d e", **settings)
    assert whole.choices[0].text.split() == written(zoo["gpt"], "c d e", 9).split() != []
    stream = client.completions.create(prompt="c d e", stream=True, **settings)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
    messages = [{"role": "user", "content": "a b"}]
    answer = client.chat.completions.create(messages=messages, **settings)
    assert answer.choices[0].message.content.split() == written(zoo["gpt"], "u a b <end> a", 9).split() != []
    stream = client.chat.completions.create(messages=messages, stream=True, stream_options={"include_usage": True}, **settings)  # fmt: skip
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content for chunk in chunks[:-1]) == answer.choices[0].message.content
    assert chunks[-1].usage == answer.usage and chunks[-2].choices[0].finish_reason == answer.choices[0].finish_reason
    again = [*messages, answer.choices[0].message, {"role": "user", "content": "c"}]
    assert client.chat.completions.create(messages=again, **settings).usage.prompt_tokens > answer.usage.prompt_tokens
    assert client.models.retrieve("gpt").id == "gpt"
    with pytest.raises(openai.NotFoundError, match="no model 'other'"):
        client.completions.create(prompt="a", model="other")
    with pytest.raises(openai.BadRequestError, match="together at most"):
        client.completions.create(prompt="a " * 256, model="gpt")
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{language}/v1", api_key="wrong", max_retries=0).models.list()


def test_a_client_that_goes_away(language):
    """What is written for it stops, and the model is free for others."""
    headers = {"Authorization": "Bearer secret"}
    body = {"prompt": "a b", "max_tokens": 240, "temperature": 1.9, "stream": True}
    with httpx.stream("POST", f"{language}/v1/completions", json=body, headers=headers) as answer:
        next(answer.iter_lines())
    end = time.monotonic() + 20
    while "ginets_requests_in_progress 1.0" not in httpx.get(f"{language}/metrics", headers=headers).text:
        assert time.monotonic() < end  # 1: this very request
    assert httpx.post(f"{language}/v1/completions", json={"prompt": "a"}, headers=headers).status_code == 200


def test_sigterm_loses_nothing(zoo):
    """Clients keep asking while the process ends: each request that it has read is answered in full.

    A connection that still waits to be accepted when the process stops listening is reset by the system.
    """
    stop, outcomes, lock = threading.Event(), [], threading.Lock()
    with process(f"cls={zoo['cls']}", f"gpt={zoo['gpt']}", "--threads", "1") as (url, running, lines):

        def ask(number: int) -> None:
            path = "/v1/classify" if number % 2 else "/v1/completions"
            body = {"model": "cls", "inputs": "a good film"} if number % 2 else {"model": "gpt", "prompt": "a b", "max_tokens": 40, "stream": True}  # fmt: skip
            with httpx.Client(timeout=60) as client:
                while not stop.is_set():
                    try:
                        answer = client.post(url + path, json=body)
                        whole = "results" in answer.text if number % 2 else answer.text.endswith("data: [DONE]\n\n")
                        outcome = "answered" if answer.status_code == 200 and whole else f"{answer.status_code}"
                    except (httpx.ConnectError, httpx.ReadError, httpx.WriteError):
                        outcome = "refused"
                    except httpx.HTTPError as error:
                        outcome = f"lost: {error!r}"
                    with lock:
                        outcomes.append(outcome)
                    if outcome == "refused":
                        return

        clients = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for each in clients:
            each.start()
        while outcomes.count("answered") < 12:
            time.sleep(0.01)
        before = len(outcomes)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
        stop.set()
        for each in clients:
            each.join()
    assert set(outcomes) <= {"answered", "refused"}
    assert outcomes[before:].count("answered") >= 1
    assert outcomes.count("answered") == sum(line.get("path") in ("/v1/classify", "/v1/completions") for line in lines)
    (line,) = [line for line in lines if line["message"] == "draining"]
    assert line["signal"] == "SIGTERM"


def test_connected_before_it_stops_listening(zoo):
    """A request that comes over a connection from before is answered although nobody new can connect."""
    with process(f"cls={zoo['cls']}") as (url, running, _):
        body = json.dumps({"model": "cls", "inputs": "a good film"})
        address = httpx.URL(url).host, httpx.URL(url).port
        client = http.client.HTTPConnection(*address, timeout=60)
        client.connect()
        running.send_signal(signal.SIGTERM)
        while True:
            try:
                socket.create_connection(address, timeout=60).close()
            except (ConnectionRefusedError, ConnectionResetError):
                break
            time.sleep(0.01)
        client.request("POST", "/v1/classify", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        assert answer.status == 200 and "results" in json.loads(answer.read())
        assert answer.getheader("Connection") == "close" and running.wait(60) == 0


@pytest.mark.parametrize("arguments,message", [
    (["nowhere/model"], "no model at 'nowhere/model'"),
    (["a=x", "a=y"], "name of its own"),
    (["x", "--adapter", "lora"], "has no name"),
    (["x", "--adapter", "default=lora"], "the name must not be 'default'"),
    (["a=x", "b=y", "--adapter", "one=z"], "of which model"),
    (["x", "--adapter", "y:one=z"], "there is no model 'y'"),
    (["x", "--port", "99999"], "--port is 99999"),
    (["x", "--host", "0.0.0.0"], "--allowed-host"),
    (["x", "--max-batch-rows", "0"], "--max-batch-rows is 0"),
    (["x", "--max-seconds", "0"], "--max-seconds is 0.0"),
    (["x", "--api-key-file", "nowhere.txt"], "nowhere.txt"),
    (["x", "--threads", "0"], "--threads is 0"),
])  # fmt: skip
def test_bad_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", *arguments])
    assert end.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_an_address_in_use_is_found_before_models_are_read(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as end:
        port = str(taken.getsockname()[1])
        main(["serve", "nowhere", "--port", port])
    error = capsys.readouterr().err
    assert end.value.code == 2 and f"--host 127.0.0.1 --port {port}: Address already in use" in error


def test_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_names(["default"], []) == {"default": ("default", {})}
    (tmp_path / "run=1").mkdir()
    assert read_names(["run=1", "b=y"], ["b:one=z", "b:two=w"]) == {
        "run=1": ("run=1", {}), "b": ("y", {"one": "z", "two": "w"}),
    }  # fmt: skip

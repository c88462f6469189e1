"""What the page asks and is answered, without a browser: the same as the engine, stock models, and a running server."""

import asyncio
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ginets.hub.load import load_for_inference
from ginets.serve.app import create_app
from ginets.serve.limits import Limits
from ginets.serve.service import Service
from ginets.ui.guard import PageGuard
from ginets.ui.local import open_source
from ginets.ui.source import Refused, Source
from ginets.ui.transport import InProcess
from ginets.viz.attention import capture
from tests.serve.models import TEXTS, alone, served


PASSAGE = "a film was very good it was a great film " * 8


def run(awaitable):
    return asyncio.run(awaitable)


async def gather(pieces) -> list[str]:
    return [piece async for piece in pieces]


@contextmanager
def server(*models):
    """The URL of `ginets serve` in a thread."""
    app = create_app(Service(models, Limits()))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        running = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        while not running.started or httpx.get(f"{url}/ready").status_code != 200:
            time.sleep(0.02)
        yield url
        running.should_exit = True
        thread.join()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name,adapter", [("cls", None), ("ina", "ina")])
def test_classify_is_what_stock_code_says(zoo, local, text, name, adapter):
    answer = run(local.classify(name, text))
    wanted = alone(zoo["cls"], zoo[adapter] if adapter else None, text)
    np.testing.assert_allclose(answer["logits"], wanted, atol=1e-5)


def test_answer_is_the_engines(local):
    engine = local.service.models["qa"]
    question = engine.read("was it good", PASSAGE, None, max_answer_length=4)
    (wanted,) = engine.run([question])
    answer = run(local.answer("qa", "was it good", PASSAGE, max_answer_length=4, top_k=3))
    assert (answer["start"], answer["end"]) == (wanted["start"], wanted["end"])
    assert answer["score"] == pytest.approx(wanted["score"], abs=1e-6) and len(answer["alternatives"]) == 2


def test_chat_streams_what_the_model_writes(zoo, local):
    messages = [{"role": "user", "content": "c d e"}]
    pieces = run(gather(local.chat("gpt", messages, temperature=0, max_tokens=12)))
    model, tokenizer = load_for_inference(zoo["gpt"])
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        written = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert len(pieces) > 1 and "".join(pieces) == tokenizer.decode(written, skip_special_tokens=True)


def test_who_stops_reading_stops_the_writing(local):
    async def first_piece() -> None:
        stream = local.chat("gpt", [{"role": "user", "content": "c d e"}], temperature=0, max_tokens=200)
        async for _ in stream:
            break
        await stream.aclose()
        while local.service.in_progress:
            await asyncio.sleep(0.01)

    figure = local.service.metrics.tokens.labels("gpt", "written")._value
    before = figure.get()
    run(first_piece())
    assert 0 < figure.get() - before < 200


@pytest.mark.parametrize("level", [0.0, 0.6])
def test_a_level_is_that_of_a_model_with_it_in_its_config(zoo, local, level):
    """Answer and attention of every head, against stock loading; afterwards the model is as before."""
    text = TEXTS[1]
    look = run(local.look("cls", text, level=level))
    model = AutoModelForSequenceClassification.from_pretrained(zoo["cls"], inhibition_level=level)
    tokenizer = AutoTokenizer.from_pretrained(zoo["cls"])
    wanted = capture(model, tokenizer, text)
    np.testing.assert_allclose(look.attention.weights, wanted.weights, atol=1e-6)
    with torch.no_grad():
        logits = model.eval()(**tokenizer(text, return_tensors="pt")).logits[0]
    np.testing.assert_allclose(look.answer["logits"], logits, atol=1e-5)
    own = alone(zoo["cls"], None, text)
    assert np.abs(np.array(look.answer["logits"]) - own.numpy()).max() > 1e-3
    np.testing.assert_allclose(run(local.classify("cls", text))["logits"], own, atol=1e-5)


def test_a_level_of_an_adapter(zoo, local):
    """At 0 an InA branch is plain LoRA: nothing is subtracted."""
    plain, own = (run(local.look("ina", TEXTS[1], level=level)).answer["logits"] for level in (0.0, None))
    model, tokenizer = load_for_inference(zoo["ina"])
    model.peft_config["default"].inhibition_level = 0.0
    with torch.no_grad():
        wanted = model(**tokenizer(TEXTS[1], return_tensors="pt")).logits[0]
    np.testing.assert_allclose(plain, wanted, atol=1e-5)
    assert np.abs(np.array(plain) - np.array(own)).max() > 1e-4
    assert local.level_of("ina") == 0.3 and local.level_of("gpt") is None


def test_a_running_server_says_the_same(zoo, local):
    with server(served("cls", zoo["cls"]), served("gpt", zoo["gpt"]), served("fill", zoo["fill"])) as url:
        remote = open_source([], f"{url}/v1/")
        assert remote.heads == {"cls": "SequenceClassification", "gpt": "CausalLM", "fill": "MaskedLM"}
        there, here = (run(each.classify("cls", TEXTS[0])) for each in (remote, local))
        assert there.keys() == here.keys() and there["logits"] == pytest.approx(here["logits"], abs=1e-5)
        messages = [{"role": "user", "content": "c d e"}]
        there, here = ("".join(run(gather(each.chat("gpt", messages, temperature=0, max_tokens=9)))) for each in (remote, local))  # fmt: skip
        assert there == here != ""
        for name, text in (("cls", TEXTS[1]), ("gpt", "c d e"), ("fill", "a [MASK] film")):
            there, here = run(remote.look(name, text)), run(local.look(name, text))
            assert not there.all_heads and here.all_heads and there.attention.tokens == here.attention.tokens
            mean = here.attention.weights.mean(1, keepdims=True)
            np.testing.assert_allclose(there.attention.weights, mean, atol=1e-5)
            assert set(there.answer) >= set(here.answer)
        with pytest.raises(Refused, match="ginets ui MODEL"):
            run(remote.look("cls", TEXTS[0], level=0.1))
        with pytest.raises(Refused, match="is empty"):
            run(remote.classify("cls", " "))
    with pytest.raises(Refused, match="cannot be reached"):
        run(remote.classify("cls", TEXTS[0]))


@pytest.mark.parametrize("work,message", [
    (lambda local: local.classify("cls", "a film " * 100), "tokens, at most 32 are taken"),
    (lambda local: local.look("cls", "a film " * 100), "attention is drawn for at most 32 tokens"),
    (lambda local: local.look("gpt", "c d", level=0.5), "gpt inhibits nothing"),
    (lambda local: gather(local.chat("gpt", [{"role": "user", "content": "c"}], max_tokens=1024)), "together at most 256"),
])  # fmt: skip
def test_refusals_are_a_sentence(local, work, message):
    with pytest.raises(Refused, match=f"(?i){message}"):
        run(work(local))


@pytest.mark.parametrize("models,url,error,message", [
    ([], None, ValueError, "one of the two"),
    (["a"], "http://127.0.0.1:1", ValueError, "one of the two"),
    ([], "file:///etc/passwd", ValueError, "it must be a URL"),
    ([], "http://127.0.0.1:1", OSError, "no server at"),
    (["nowhere/model"], None, ValueError, "no model at 'nowhere/model'"),
])  # fmt: skip
def test_what_cannot_be_opened(models, url, error, message):
    with pytest.raises(error, match=message):
        open_source(models, url)


def test_an_application_that_fails_before_it_answers():
    async def app(scope, receive, send):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        run(Source("http://127.0.0.1", InProcess(app), {}).post("/", {}))


@pytest.mark.parametrize("headers,path,status", [
    ({"host": "127.0.0.1:7860"}, "/", 200),
    ({"host": "[::1]:7860", "origin": "http://localhost:7860"}, "/gradio_api/queue/join", 200),
    ({"host": "evil.example"}, "/", 403),
    ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, "/gradio_api/queue/join", 403),
    ({"host": "127.0.0.1:7860", "origin": "http://localhost:1234"}, "/gradio_api/queue/join", 403),
    ({"host": "127.0.0.1:7860", "origin": "http://localhost"}, "/gradio_api/queue/join", 403),
    ({"host": "127.0.0.1:7860", "origin": "http://localhost:x"}, "/gradio_api/queue/join", 403),
    ({"host": "127.0.0.1:7860", "origin": "null"}, "/gradio_api/queue/join", 403),
    ({"host": "127.0.0.1:7860"}, "/gradio_api/upload", 403),
    ({"host": "127.0.0.1:7860"}, "/gradio_api/file=/etc/passwd", 403),
    ({"host": "127.0.0.1:7860"}, "/proxy=http://example.com", 403),
])  # fmt: skip
def test_guard(headers, path, status):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        guarded = PageGuard(app, ("127.0.0.1", "localhost", "::1"))
        async with httpx.AsyncClient(transport=InProcess(guarded), base_url="http://127.0.0.1") as client:
            return (await client.get(path, headers=headers)).status_code

    assert run(ask()) == status

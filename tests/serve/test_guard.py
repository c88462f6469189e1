"""What is refused, with which code; what the log and the figures say."""

import asyncio
import json
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ginets.serve import app
from ginets.serve.app import worst
from ginets.serve.limits import Limits
from ginets.serve.log import JsonLines
from tests.serve.conftest import open_client
from tests.serve.models import served


CLASSIFY = "/v1/classify"


@pytest.fixture(scope="module")
def small(zoo):
    limits = Limits(body_bytes=2000, inputs=3, attention_tokens=4, concurrency=2, seconds=0.5)
    with open_client(served("cls", zoo["cls"], limits), limits=limits, key="secret") as client:
        client.headers["Authorization"] = "Bearer secret"
        yield client


def refused(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    return error


def test_codes(small):
    post = lambda **options: small.post(CLASSIFY, **options)  # noqa: E731
    assert post(json={"inputs": "good"}).status_code == 200
    assert refused(post(json={"inputs": "good"}, headers={"Authorization": "Bearer no"}), 401)["type"] == "authentication_error"  # fmt: skip
    assert refused(post(json={"inputs": "good"}, headers={"Host": "evil.example"}), 400)["code"] == "bad_host"
    assert refused(post(json={"inputs": "good " * 500}), 413)["code"] == "body_size"
    refused(post(content=iter([b'{"inputs": "', b"a " * 1500, b'"}']), headers={"content-type": "application/json"}), 413)  # fmt: skip
    assert refused(post(json={"inputs": ["good"] * 4}), 400)["code"] == "too_many_inputs"
    assert refused(post(json={"inputs": "a b c d", "attention": True}), 400)["code"] == "context_length_exceeded"
    assert refused(post(json={"inputs": ["a", "b"], "attention": True}), 400)["code"] == "no_attention"
    assert refused(post(json={"inputs": "  "}), 400)["code"] == "empty"
    assert refused(post(json={"inputs": "good", "model": "../../etc"}), 404)["code"] == "model_not_found"
    assert refused(post(json={"inputs": "good", "model": "cls:other"}), 404)["code"] == "model_not_found"
    assert "classify" in refused(small.post("/v1/completions", json={"prompt": "a"}), 400)["message"]
    refused(small.get("/nothing"), 404)
    refused(small.get(CLASSIFY), 405)


@pytest.mark.parametrize(("body", "param", "says"), [
    ({"inputs": []}, "inputs", "at least 1 item"), ({"inputs": ["a", 1]}, "inputs.1", "string"),
    ({"inputs": {"text": 1}}, "inputs.text", "string"), ({"inputs": {"text": "a", "more": 1}}, "inputs.more", "Extra"),
    ({"inputs": "a", "attention": "no way"}, "attention", "boolean"), ({}, "inputs", "required"),
    ({"inputs": "a", "trunc": True}, "trunc", "Extra"),
])  # fmt: skip
def test_the_field_at_fault_is_named(small, body, param, says):
    error = refused(small.post(CLASSIFY, json=body), 422)
    assert error["param"] == param and error["message"].startswith(f"{param}: ") and says in error["message"]


@pytest.mark.parametrize(("path", "body"), [
    (CLASSIFY, {"inputs": [1] * 100_000}), (CLASSIFY, {"inputs": [{}] * 100_000}),
    (CLASSIFY, {"inputs": "a", **{f"f{at}": at for at in range(60_000)}}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{}] * 100_000}]}),
])  # fmt: skip
def test_of_a_hundred_thousand_faults_one_is_looked_for(client, monkeypatch, path, body):
    """Or everybody else would wait while they are listed."""
    counts = []
    monkeypatch.setattr(app, "worst", lambda errors: (counts.append(len(errors)), worst(errors))[1])
    refused(client.post(path, json=body | {"model": "cls"}), 422)
    assert counts and counts[0] < 10


@pytest.mark.parametrize(("name", "path", "reader", "body"), [
    ("cls", CLASSIFY, "read", {"inputs": "good"}),
    ("qa", "/v1/answer", "check", {"question": "was it good", "context": "a film"}),
    ("gpt", "/v1/completions", "text_ids", {"prompt": "a", "max_tokens": 1}),
    ("gpt", "/v1/chat/completions", "chat_ids", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
])  # fmt: skip
def test_reading_has_to_be_in_time(zoo, name, path, reader, body):
    """Behind texts that take long to be tokenised as well: there is one thread for them."""
    model, stop = served(name, zoo[name]), threading.Event()
    read = getattr(model, reader)
    with open_client(model, limits=Limits(seconds=0.3)) as client:
        setattr(model, reader, lambda *args: (stop.wait(20), read(*args))[1])
        start = time.perf_counter()
        assert refused(client.post(path, json=body), 504)["code"] == "timeout"
        assert time.perf_counter() - start < 5
        stop.set()
        setattr(model, reader, read)
        assert client.post(path, json=body).status_code == 200


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 900, b'{"inputs": "\\ud800"}', b'{"\\ud800": 1}', b'{"inputs": NaN}',
    b'{"inputs": []}', b'{"inputs": {"text": 1}}', b'{"inputs": "a", "trust_remote_code": true}', b'{"inputs": null}',
    b'{"inputs": "a", "model": "\\u0000"}', b'{"inputs": ' + b"9" * 900 + b"}",
])  # fmt: skip
def test_malformed_bodies(small, content):
    answer = small.post(CLASSIFY, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 404, 422)
    assert answer.json()["error"]["message"]


def test_a_form_of_a_foreign_page_is_not_read(small):
    """Pages elsewhere can send this type without being asked; and answers never allow them to read."""
    answer = small.post(CLASSIFY, content=b'{"inputs": "good"}', headers={"content-type": "text/plain", "Origin": "http://evil.example"})  # fmt: skip
    assert answer.status_code == 422
    answer = small.options(
        CLASSIFY, headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_state_needs_no_key(small):
    for path, status in (("/health", 200), ("/ready", 200), ("/metrics", 401), ("/docs", 401), ("/v1/models", 401)):
        assert small.get(path, headers={"Authorization": ""}).status_code == status
    assert [each["id"] for each in small.get("/v1/models").json()["data"]] == ["cls"]
    assert "/v1/classify" in small.get("/openapi.json").json()["paths"]


def test_time_and_concurrency(small):
    """While the model is busy: two wait until their time is up, the third is sent away; what was given up never runs."""
    service = small.app.state.service
    gate, ran = threading.Event(), []
    model = service.models["cls"]
    work = type(model).run
    model.run = lambda rows: (ran.append(len(rows)), gate.wait(10), work(model, rows))[-1]
    try:
        with ThreadPoolExecutor(2) as pool:
            first = [pool.submit(small.post, CLASSIFY, json={"inputs": "good"}) for _ in range(2)]
            while service.in_progress < 2:
                time.sleep(0.01)
            busy = small.post(CLASSIFY, json={"inputs": "good"})
            assert refused(busy, 429)["type"] == "rate_limit_error" and busy.headers["retry-after"] == "1"
            codes = [refused(each.result(), 504)["code"] for each in first]
        assert codes == ["timeout"] * 2
        assert refused(small.post(CLASSIFY, json={"inputs": "good"}), 504)
    finally:
        gate.set()
        del model.run
    assert small.post(CLASSIFY, json={"inputs": "good"}).status_code == 200
    assert sum(ran) <= 2


def ask_health(app, headers: list, send) -> None:
    """Below any client: what a server gives to the application."""

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "GET", "path": "/health", "query_string": b"", "headers": headers}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))


def test_who_does_not_read_gives_the_place_back(small):
    async def never(message):
        await asyncio.Event().wait()

    ask_health(small.app, [(b"host", b"localhost")], never)
    assert small.app.state.service.in_progress == 0


@pytest.mark.parametrize("host,status", [
    (None, 400), ("", 400), ("localhost.evil.example", 400), ("evil.example:8000", 400), ("[::2]", 400),
    ("LocalHost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200),
])  # fmt: skip
def test_host(small, host, status):
    sent = []

    async def send(message):
        sent.append(message.get("status"))

    ask_health(small.app, [] if host is None else [(b"host", host.encode())], send)
    assert sent[0] == status


def test_attention_is_refused_before_there_is_work(small):
    model = small.app.state.service.models["cls"]
    model.run = None
    try:
        refused(small.post(CLASSIFY, json={"inputs": "a b c d", "attention": True}), 400)
    finally:
        del model.run


def test_a_failure_is_500_and_says_no_more(small, caplog):
    model = small.app.state.service.models["cls"]
    model.answer = lambda row, logits: {}["the secret text"]
    try:
        error = refused(small.post(CLASSIFY, json={"inputs": "good"}), 500)
    finally:
        del model.answer
    assert error["type"] == "server_error" and "secret text" not in error["message"]
    (record,) = [record for record in caplog.records if record.exc_info]
    line = json.loads(JsonLines().format(record))
    assert line["error"] == "KeyError" and line["places"] and "secret" not in json.dumps(line)
    assert "secret text" in json.loads(JsonLines(texts=True).format(record))["details"]


def test_log(zoo, caplog):
    for texts in (False, True):
        caplog.clear()
        with caplog.at_level(logging.INFO), open_client(served("cls", zoo["cls"]), log_texts=texts) as client:
            client.post(CLASSIFY, json={"inputs": "great film"})
        lines = [json.loads(JsonLines(texts).format(record)) for record in caplog.records]
        (line,) = [line for line in lines if line.get("path") == CLASSIFY]
        assert (line["status"], line["model"], line["tokens"]) == (200, "cls", 4) and line["ms"] > 0
        assert ("great film" in json.dumps(lines)) == texts


def test_figures(zoo):
    with open_client(served("cls", zoo["cls"])) as client:
        for _ in range(3):
            client.post(CLASSIFY, json={"inputs": ["good", "bad film"]})
        client.get("/no/such/path")
        text = client.get("/metrics").text
    assert 'ginets_requests_total{path="/v1/classify",status="200"} 3.0' in text
    assert 'ginets_requests_total{path="other",status="404"} 1.0' in text
    assert 'ginets_request_seconds_count{path="/v1/classify"} 3.0' in text
    assert 'ginets_tokens_total{direction="read",model="cls"} 21.0' in text
    assert 'ginets_batch_rows_sum{model="cls"} 6.0' in text
    assert re.search(r'ginets_queue_rows\{model="cls"\} 0.0', text)


def test_readiness(zoo):
    model = served("cls", zoo["cls"])
    gate = threading.Event()
    model.warm_up = lambda: gate.wait(10)
    with open_client(model, ready=False) as client:
        assert client.get("/health").status_code == 200
        assert refused(client.get("/ready"), 503)["message"] == "warming up"
        refused(client.post(CLASSIFY, json={"inputs": "good"}), 503)
        gate.set()
        while client.get("/ready").status_code != 200:
            time.sleep(0.01)
        client.app.state.service.draining = True
        assert refused(client.get("/ready"), 503)["message"] == "draining"
        answer = client.post(CLASSIFY, json={"inputs": "good"})
        assert answer.status_code == 200 and answer.headers["connection"] == "close"


def test_limits_are_checked():
    for limits in ({"batch_rows": 0}, {"seconds": float("nan")}, {"seconds": float("inf")}):
        with pytest.raises(ValueError, match=f"{next(iter(limits))} is .*above 0, and finite"):
            Limits(**limits)

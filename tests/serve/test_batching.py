"""Batches: what goes together, that nobody notices, adapters, models that must not be batched."""

import asyncio
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ginets.serve.batcher import Batcher, Job
from ginets.serve.engine import Served
from ginets.serve.limits import Limits, RequestError
from tests.serve.conftest import open_client
from tests.serve.models import TEXTS, alone, make_adapter, make_encoder, served


def batches_of(jobs: list[tuple], max_rows: int = 4, max_tokens: int = 100, max_length: int = 70) -> list[list]:
    """`(name, key, rows, length)`, perhaps with `new`, that wait together → names of each batch."""
    seen = []

    async def run():
        batcher = Batcher(max_rows, max_tokens, max_length)

        def call(works):
            seen.append(works)
            return works

        await batcher.submit([Job(call, *job) for job in jobs])
        batcher.close()

    asyncio.run(run())
    return seen


@pytest.mark.parametrize("jobs,expected", [
    ([(i, None, 1, 5) for i in range(6)], [[0, 1, 2, 3], [4, 5]]),
    ([(0, "a", 1, 5), (1, "b", 1, 5), (2, "a", 1, 5)], [[0, 2], [1]]),
    ([(0, None, 1, 60), (1, None, 1, 60), (2, None, 1, 10)], [[0], [1], [2]]),  # 2 × 60 > 100, padding counts
    ([(0, None, 9, 500), (1, None, 1, 5)], [[0], [1]]),  # one is always taken
    ([(0, None, 3, 5), (1, None, 3, 5), (2, None, 1, 5)], [[0, 2], [1]]),
    ([(0, None, 1, 40, 2), (1, None, 1, 2, 9), (2, None, 1, 2, 8)], [[0, 1], [2]]),  # rows of 40 + 9: 98, 147 tokens
    ([(0, None, 1, 40, 2), (1, None, 1, 2, 31), (2, None, 1, 2, 8)], [[0, 2], [1]]),  # 40 + 31 > 70 positions
])  # fmt: skip
def test_what_goes_together(jobs, expected):
    assert batches_of(jobs) == expected


def test_failures_and_cancelled_jobs():
    """A failed batch is told to those who wait, the next one runs; what nobody waits for does not run."""
    ran = []

    async def run():
        batcher, gate = Batcher(1, 100), threading.Event()

        def call(works):
            gate.wait(5)
            ran.extend(works)
            if works == ["bad"]:
                raise KeyError("bad")
            return works

        bad = asyncio.create_task(batcher.submit([Job(call, "bad")]))
        dropped = asyncio.create_task(batcher.submit([Job(call, "dropped")]))
        good = asyncio.create_task(batcher.submit([Job(call, "good")]))
        await asyncio.sleep(0.02)
        dropped.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(KeyError):
            await bad
        assert await good == ["good"]
        batcher.close()

    asyncio.run(run())
    assert ran == ["bad", "good"]


def together(client, bodies: list[dict]) -> list[dict]:
    """Answers of requests that are sent at the same time."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: client.post("/v1/classify", json=body), bodies))
    assert [answer.status_code for answer in answers] == [200] * len(bodies), answers[0].text
    return [answer.json()["results"][0] for answer in answers]


def figure(client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))


@pytest.mark.parametrize("method,mixes", [("lora", True), ("ina", True)])
def test_adapters_by_request(zoo, method, mixes):
    """Requests for two adapters and for none meet in batches, and get what each adapter alone gives."""
    adapters = {"one": zoo[f"{method}1"], "two": zoo[f"{method}2"]}
    model = served("cls", zoo["cls"], **adapters)
    assert model.mixes == mixes
    choices = ["cls", "cls:one", "cls:two"]
    bodies = [{"model": choice, "inputs": text} for text in TEXTS for choice in choices]
    expected = [alone(zoo["cls"], adapters.get(body["model"].partition(":")[2]), body["inputs"]) for body in bodies]
    for _ in range(2):
        with open_client(model) as client:
            found = together(client, bodies)
            batches = figure(client, "ginets_batch_rows_count")
            assert batches < len(bodies)
        logits = [torch.tensor(each["logits"]) for each in found]
        torch.testing.assert_close(torch.stack(logits), torch.stack(expected), atol=1e-5, rtol=0)
        assert [each["label"] for each in found] == [("bad", "good", "neither")[int(e.argmax())] for e in expected]
        model.mixes = False  # once more with one adapter per batch
    with pytest.raises(RequestError, match="cls:one, cls:two"):
        model.chosen("three")


@pytest.mark.parametrize("refuses", [True, False])
def test_mixed_batches_are_tried_out(zoo, monkeypatch, caplog, refuses):
    """A method that refuses them, and one that takes one adapter for all rows without a word."""
    stock = Served.adapted

    @contextmanager
    def adapted(self, names):
        if refuses and len(set(names)) > 1:
            raise ValueError("one adapter for all rows")
        with stock(self, names[:1] * len(names)) as extra:
            yield extra

    monkeypatch.setattr(Served, "adapted", adapted)
    model = served("cls", zoo["cls"], one=zoo["lora1"], two=zoo["lora2"])
    assert not model.mixes and "different adapters are not batched together" in caplog.text
    assert model.key("one") != model.key("two")


def test_a_model_that_is_an_adapter(zoo):
    with open_client(served("mine", zoo["ina1"], two=zoo["ina2"])) as client:
        found = together(client, [{"model": "mine", "inputs": TEXTS[0]}, {"model": "mine:two", "inputs": TEXTS[0]}])
    for each, name in zip(found, ("ina1", "ina2"), strict=True):
        expected = alone(zoo["cls"], zoo[name], TEXTS[0])
        torch.testing.assert_close(torch.tensor(each["logits"]), expected, atol=1e-5, rtol=0)


def test_batch_scope_is_served_alone(tmp_path, caplog):
    """Gates whose maximum runs over the batch: texts would change each other."""
    path = make_encoder(tmp_path / "model", "SequenceClassification", inhibition_scope="batch", inhibition_level=0.6)
    with caplog.at_level(logging.WARNING):
        model = served("cls", path)
    assert "served at batch 1" in caplog.text and model.max_rows == 1
    with open_client(model) as client:
        found = together(client, [{"inputs": text} for text in TEXTS])
        assert figure(client, "ginets_batch_rows_sum") == figure(client, "ginets_batch_rows_count") == len(TEXTS)
    expected = torch.stack([alone(path, None, text) for text in TEXTS])
    torch.testing.assert_close(torch.tensor([each["logits"] for each in found]), expected, atol=1e-5, rtol=0)
    rows = [model.read(text, None, False, None, "") for text in TEXTS]
    model.max_rows = 32  # and it matters
    batched = torch.tensor([each["logits"] for each in model.run(rows)])
    assert (batched - expected).abs().max() > 1e-4


def with_config(folder, base: str, **changes) -> str:
    """An adapter that was trained on a model of another config."""
    path = make_adapter(folder, base, "lora", 1)
    content = json.loads(Path(base, "config.json").read_text()) | changes
    (folder / "base").mkdir()
    (folder / "base" / "config.json").write_text(json.dumps(content))
    return path


def test_an_adapter_brings_the_names_of_its_labels(zoo, tmp_path):
    names = {"0": "left", "1": "right", "2": "ahead"}
    labels = {"id2label": names, "label2id": {name: int(at) for at, name in names.items()}}
    one = with_config(tmp_path / "one", zoo["cls"], **labels)
    two = with_config(tmp_path / "two", zoo["cls"], **labels, problem_type="multi_label_classification")
    with open_client(served("cls", zoo["cls"], one=one, two=two)) as client:
        plain, one, two = together(
            client, [{"model": f"cls{each}", "inputs": "good"} for each in ("", ":one", ":two")]
        )
    assert list(plain["scores"]) == ["bad", "good", "neither"] and list(one["scores"]) == list(names.values())
    assert one["label"] == max(one["scores"], key=one["scores"].get)
    assert sum(one["scores"].values()) == pytest.approx(1)
    assert two["scores"]["left"] == pytest.approx(float(torch.tensor(two["logits"][0]).sigmoid()))


def test_an_adapter_of_other_gates_is_refused_and_one_of_another_base_named(zoo, tmp_path, caplog):
    other = with_config(tmp_path / "gates", zoo["cls"], inhibition_level=0.9)
    with pytest.raises(ValueError, match=r"trained with inhibition_level = 0\.9; .* has 0\.3"):
        served("cls", zoo["cls"], one=other)
    served("cls", zoo["cls"], one=zoo["lora1"])
    assert "was trained on" not in caplog.text
    elsewhere = make_adapter(tmp_path / "lora", make_encoder(tmp_path / "base", "SequenceClassification"), "lora", 1)
    served("cls", zoo["cls"], one=elsewhere)
    assert f"was trained on {tmp_path / 'base'} and is put on {zoo['cls']}" in caplog.text


def test_bad_adapters(zoo):
    for folder, message in ((zoo["cls"], "is no adapter"), (zoo["lora1"], "is for SequenceClassification")):
        with pytest.raises(ValueError, match=message):
            served("gpt", zoo["gpt"], Limits(), one=folder)

"""Folders of models, and clients of applications."""

import time
from contextlib import contextmanager

import pytest

from tests.serve.models import make_adapter, make_encoder, make_writer, served


pytest.importorskip("fastapi", reason="ginets[serve] is not installed")
pytest.importorskip("prometheus_client", reason="ginets[serve] is not installed")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> dict[str, str]:
    """Name → folder."""
    root = tmp_path_factory.mktemp("zoo")
    heads = {"cls": "SequenceClassification", "qa": "QuestionAnswering", "ner": "TokenClassification", "fill": "MaskedLM"}  # fmt: skip
    folders = {name: make_encoder(root / name, head) for name, head in heads.items()}
    folders |= {f"{method}{seed}": make_adapter(root / f"{method}{seed}", folders["cls"], method, seed) for method in ("lora", "ina") for seed in (1, 2)}  # fmt: skip
    return folders | {"gpt": make_writer(root / "gpt"), "plain": make_writer(root / "plain", chat=False)}


@contextmanager
def open_client(*models, limits=None, ready=True, log_texts=False, **options):
    from starlette.testclient import TestClient

    from ginets.serve.app import create_app
    from ginets.serve.limits import Limits
    from ginets.serve.service import Service

    service = Service(models, limits or Limits(), log_texts=log_texts)
    app = create_app(service, **options)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        end = time.monotonic() + 60
        while ready and client.get("/ready").status_code != 200 and time.monotonic() < end:
            time.sleep(0.01)
        yield client


@pytest.fixture(scope="session")
def client(zoo):
    """All heads behind one application, without adapters."""
    with open_client(*(served(name, zoo[name]) for name in ("cls", "qa", "ner", "fill", "gpt", "plain"))) as client:
        yield client

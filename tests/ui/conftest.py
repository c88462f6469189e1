"""Tiny models behind the page."""

import pytest

from tests.serve.models import make_adapter, make_encoder, make_writer


pytest.importorskip("gradio", reason="ginets[ui] is not installed")


@pytest.fixture(scope="session")
def zoo(tmp_path_factory) -> dict[str, str]:
    """Name → folder."""
    root = tmp_path_factory.mktemp("zoo")
    heads = {"cls": "SequenceClassification", "qa": "QuestionAnswering", "fill": "MaskedLM"}
    folders = {name: make_encoder(root / name, head) for name, head in heads.items()}
    return folders | {"ina": make_adapter(root / "ina", folders["cls"], "ina", 1), "gpt": make_writer(root / "gpt")}


@pytest.fixture(scope="session")
def local(zoo):
    """All of them, loaded as the page does it."""
    from ginets.ui.local import open_source

    source = open_source([f"{name}={path}" for name, path in zoo.items()], None)
    yield source
    source.close()

"""Encoders in onnxruntime against torch: other batches and lengths than at export, padding, the gate inside."""

import numpy as np
import pytest
import torch

from ginets import LlamaInAForCausalLM
from ginets.hub import onnx as module
from ginets.hub.onnx import export_onnx
from tests import tiny


onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

MODELS = [
    ("bert_gi", "BertGIForSequenceClassification"),
    ("roberta_gi", "RobertaGIForMultipleChoice"),
    ("deberta_v2_gi", "DebertaV2GIForQuestionAnswering"),
]


def loud(model):
    """With a head whose outputs are of a real size."""
    tiny.randomise(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(("classifier", "qa_outputs")):
                parameter.normal_(0, 1)
    return model.eval()


@pytest.mark.parametrize("model_type,name", MODELS)
def test_against_torch(model_type, name, tmp_path):
    model = loud(tiny.BY_TYPE[model_type].classes[name](tiny.config(model_type, **tiny.BOTH)))
    assert export_onnx(model, tmp_path / "onnx" / "model.onnx") <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "onnx" / "model.onnx"))
    inputs = tiny.inputs(batch=3, length=19, seed=5)  # neither was seen at export
    inputs["attention_mask"][1, 6:] = 0
    if model.config.type_vocab_size > 1:  # it tells two texts apart
        inputs["token_type_ids"] = torch.arange(19).expand(3, -1) // 10
    if "MultipleChoice" in name:  # nor were four choices
        inputs = {key: value[:, None].repeat(1, 4, 1) for key, value in inputs.items()}
    found = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    with torch.no_grad():
        wanted = {key: value for key, value in model(**inputs).items() if torch.is_tensor(value)}
    assert [given.name for given in session.get_inputs()] == list(inputs)
    assert [output.name for output in session.get_outputs()] == list(wanted)
    for got, (key, tensor) in zip(found, wanted.items(), strict=True):
        np.testing.assert_allclose(got, tensor.numpy(), rtol=0, atol=1e-4, err_msg=key)
    for key, parameter in model.named_parameters():
        if "select_" in key:
            parameter.data.zero_()  # the gate is 1 then
    with torch.no_grad():
        ungated = next(iter(model(**inputs).values()))
    assert np.abs(found[0] - ungated.numpy()).max() > 1e-3


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="is for encoders; LlamaInAForCausalLM"):
        export_onnx(LlamaInAForCausalLM(tiny.config("llama_ina")), tmp_path / "model.onnx")


class Session:
    """An onnxruntime whose results are off by a little."""

    def __init__(self, path, providers):
        pass

    def run(self, names, inputs):
        return [np.full(inputs["input_ids"].shape, 2e-4, dtype=np.float32)]


def test_a_difference_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("onnxruntime.InferenceSession", Session)

    class Zeros:
        names = ["logits"]

        def __call__(self, input_ids, attention_mask):
            return (torch.zeros(input_ids.shape),)

    with pytest.raises(ValueError, match=r"logits differs from torch by 0\.0002 for inputs \(2, 7\)"):
        module.compare(Zeros(), tmp_path / "model.onnx", [tiny.inputs()])

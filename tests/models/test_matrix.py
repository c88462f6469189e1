"""Every family × head × flag set: forward, backward, save, load."""

import pytest
import torch

from tests.tiny import BOTH, BY_TYPE, HEADS, config, head_inputs, randomise


GATE_FLAGS = [
    {},
    {"gi_query_side": True},
    BOTH | {"gi_layer_num": 1, "inhibition_level": 0},
    BOTH | {"gi_rank": 4, "inhibition_level": 0.9},
]
INA_FLAGS = [
    {},
    {"gi_key_side": True, "ina_rank": 2},
    BOTH | {"gi_layer_num": 1, "inhibition_level": 0},
    {"ina_target_modules": ["v_proj", "o_proj", "down_proj"], "inhibition_level": 0.9},
]
MATRIX = [(kind, head, flags) for kind, head in HEADS for flags in (INA_FLAGS if kind == "llama_ina" else GATE_FLAGS)]


@pytest.mark.parametrize("model_type,head,flags", MATRIX, ids=str)
def test_forward_backward_save_load(model_type, head, flags, tmp_path):
    decoder = {"is_decoder": True} if head in ("BertGILMHeadModel", "RobertaGIForCausalLM") else {}
    model = BY_TYPE[model_type].classes[head](config(model_type, **flags, **decoder))
    randomise(model, 0.1).eval()
    given = head_inputs(model)
    output = model(**given)
    loss = output.loss if "loss" in output else output[0].square().mean()
    loss.backward()
    mechanism = {name: p for name, p in model.named_parameters() if is_ours(name)}
    assert bool(mechanism) == bool(flags)
    assert loss.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in mechanism.values())

    model.save_pretrained(tmp_path)
    loaded, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert loaded.config.model_type == model_type and loaded.config.architectures == [head]
    with torch.no_grad():
        for ours, theirs in zip(model(**given).to_tuple(), loaded(**given).to_tuple(), strict=True):
            if isinstance(ours, torch.Tensor):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def is_ours(name: str) -> bool:
    return any(part in name for part in ("inhibition_", "select_", "_ina."))

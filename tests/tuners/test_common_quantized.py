"""What every method does alike beside layers that bitsandbytes has quantized."""

import importlib.util

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from ginets.tuners import NotMergeableError
from tests import tiny
from tests.tuners.methods import adapter_weights, branches, config_of, inputs, logits


@pytest.fixture(scope="module")
def stored_llama(tmp_path_factory):
    """Wide enough for the blocks of 64 weights that NF4 scales together."""
    folder = tmp_path_factory.mktemp("llama")
    torch.manual_seed(0)
    config = tiny.stock_config("llama_ina", hidden_size=64, intermediate_size=128, num_hidden_layers=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


QUANTIZED = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.float32},
    "int8": {"load_in_8bit": True},
}


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("form", ["ina", "ina_p0", "mtlora_ctcm", "aflora", "sora"])
@pytest.mark.parametrize("bits", QUANTIZED)
def test_quantized_bases(form, bits, stored_llama, tmp_path):
    def quantized():
        options = {"quantization_config": BitsAndBytesConfig(**QUANTIZED[bits]), "device_map": "cpu"}
        return AutoModelForCausalLM.from_pretrained(stored_llama, dtype=torch.float32, **options).eval()

    config = config_of(form, "embedding", target_modules=["q_proj", "up_proj"])
    torch.manual_seed(0)
    model = get_peft_model(quantized(), config).eval()
    # 4 bits in training mode (there is no dropout), in which bitsandbytes computes alike on every CPU
    base = logits(quantized().train(bits == "nf4"))
    with model.disable_adapter():
        assert torch.equal(logits(model), base)
    before = logits(model)
    assert not torch.allclose(before, base, atol=1e-2)

    # the branch itself is not quantized: the layer's output is that of its base plus that of the same plain branch
    for name, branch in branches(model).items():
        plain = nn.Linear(branch.in_features, branch.out_features, bias=False)
        nn.init.zeros_(plain.weight)
        like = get_peft_model(nn.Sequential(plain), config_of(form, target_modules=["0"], task_type=None)).eval()
        (twin,) = branches(like).values()
        twin.load_state_dict(
            {n: w for n, w in branch.state_dict().items() if n.startswith(model.prefix)}, strict=False
        )
        x = torch.randn(3, branch.in_features)
        assert torch.allclose(branch(x), branch.base_layer(x) + twin(x), atol=1e-5), name

    # nothing changes by use, whether before or after the adapter was added
    model.save_pretrained(tmp_path)
    used = quantized()
    logits(used)
    fresh, late = (PeftModel.from_pretrained(base, tmp_path, is_trainable=True) for base in (quantized(), used))
    for one in (fresh, late, model):
        one.train()(**inputs(one)).logits.square().mean().backward()
    for name, grad in ((name, weight.grad) for name, weight in adapter_weights(fresh).items()):
        assert grad.any() and torch.equal(adapter_weights(model)[name].grad, grad), name
        # bitsandbytes itself may have rounded the scales before
        assert (adapter_weights(late)[name].grad - grad).norm() < 0.05 * grad.norm(), name
    model.eval()
    assert torch.equal(logits(PeftModel.from_pretrained(quantized(), tmp_path).eval()), before)

    if form == "ina":
        with pytest.raises(NotMergeableError, match=r"ginets\.fold"):
            model.merge_and_unload()
    else:
        # merging quantizes the sum again, which is as coarse as the base
        branch = next(iter(branches(model).values()))
        weight = branch.base_weight().float()
        exact = weight + branch.get_delta_weight("default").float()
        branch.merge()
        merged = branch.base_weight().float()
        assert (merged - exact).norm() < 0.15 * exact.norm()
        assert (merged - exact).norm() < 0.5 * (merged - weight).norm()
        assert model.merge_and_unload() is not None

"""InA beside layers quantized by bitsandbytes, on the CPU: the formula on the dequantized weight, forward and backward."""

import pytest
import torch
from peft import PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.utils.integrations import dequantize_bnb_weight
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaForCausalLM

from ginets import InAConfig
from ginets.tuners import NotMergeableError
from tests.reference.gates import branch
from tests.tiny import inputs, stock_config


bitsandbytes = pytest.importorskip("bitsandbytes")


def quantize(kind: str, weight: torch.Tensor, bias: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """A quantized layer, and its weight as the numbers that it stands for."""
    size = weight.shape[1], weight.shape[0]
    if kind == "int8":
        layer = bitsandbytes.nn.Linear8bitLt(*size, has_fp16_weights=False)
        layer.weight = bitsandbytes.nn.Int8Params(weight.clone(), requires_grad=False, has_fp16_weights=False)
    else:
        layer = bitsandbytes.nn.Linear4bit(*size, quant_type=kind, compute_dtype=torch.float32)
        layer.weight = bitsandbytes.nn.Params4bit(weight.clone(), requires_grad=False, quant_type=kind)
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    layer.to("cpu")  # quantizes
    if kind == "int8":
        return layer, layer.weight.data.float() * layer.weight.SCB[:, None] / 127
    return layer, dequantize_bnb_weight(layer.weight, state=layer.weight.quant_state).float()


@pytest.mark.parametrize("level", [0, 0.3])
@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_the_formula(kind, level):
    original = torch.randn(48, 64)
    base, weight = quantize(kind, original, bias := torch.randn(48))
    assert 0.001 < (weight - original).abs().max() < 1  # really quantized, and to about the same numbers
    model = get_peft_model(
        nn.Sequential(base),
        InAConfig(r=4, ina_alpha=8, inhibition_level=level, target_modules=["0"], init_weights=False),
    )
    layer = model.base_model.model[0]
    A, B = layer.ina_A.default.weight, layer.ina_B.default.weight
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trainable) == 2 and all(".ina_" in name for name in trainable)
    for shape in ((3, 64), (2, 5, 64)):
        x = torch.randn(shape, requires_grad=True)
        output = model(x)
        expected = x @ weight.T + bias + branch(x, A, B, level, 2.0)
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
        grads, references = (torch.autograd.grad(each.square().sum(), (x, A, B)) for each in (output, expected))
        for grad, reference in zip(grads, references, strict=True):
            torch.testing.assert_close(grad, reference, rtol=1e-4, atol=1e-4 * reference.abs().max().item())
        with model.disable_adapter():
            assert torch.equal(model(x), base(x))


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_merging(kind):
    """Refused above p = 0; at p = 0 the sum is quantized again, so it is as exact as the format and no more."""
    base, weight = quantize(kind, torch.randn(48, 64), bias := torch.randn(48))
    model = get_peft_model(nn.Sequential(base), InAConfig(target_modules=["0"], init_weights=False))
    with pytest.raises(NotMergeableError):
        model.merge_and_unload()
    plain = InAConfig(inhibition_level=0, ina_alpha=32, target_modules=["0"], init_weights=False)
    model.add_adapter("plain", plain)
    model.set_adapter("plain")
    layer, x = model.base_model.model[0], torch.randn(3, 64)
    with torch.no_grad():
        total = weight + 4 * layer.ina_B.plain.weight @ layer.ina_A.plain.weight
    expected, _ = quantize(kind, total, bias)
    merged = model.merge_and_unload()
    assert type(merged[0]) is type(base)
    torch.testing.assert_close(merged(x), expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [
    {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    {"load_in_8bit": True},
], ids=["nf4", "int8"])  # fmt: skip
def test_a_quantized_model_trains_and_reloads(options, tmp_path):
    """As users do it: `from_pretrained` quantizes, k-bit preparation with checkpointing, AdamW, save, load."""
    LlamaForCausalLM(stock_config("llama_ina", hidden_size=64, intermediate_size=128)).save_pretrained(
        tmp_path / "base"
    )

    def load():
        return AutoModelForCausalLM.from_pretrained(
            tmp_path / "base", quantization_config=BitsAndBytesConfig(**options), device_map="cpu"
        )

    model = prepare_model_for_kbit_training(load(), gradient_checkpointing_kwargs={"use_reentrant": False})
    model = get_peft_model(model, InAConfig(target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
    quantized = type(model.base_model.model.model.layers[0].self_attn.q_proj.get_base_layer())
    assert quantized.__module__.startswith("bitsandbytes")
    given = inputs() | {"labels": inputs()["input_ids"]}
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model.train()(**given).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1
    model.save_pretrained(tmp_path / "adapter")
    again = PeftModel.from_pretrained(load(), tmp_path / "adapter").eval()
    torch.testing.assert_close(
        again(**inputs()).logits.float(), model.eval()(**inputs()).logits.float(), rtol=1e-2, atol=1e-2
    )

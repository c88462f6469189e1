"""An encoder as an ONNX file with dynamic batch and length, the gates inside, compared with torch in onnxruntime."""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from ..extras import require
from .probe import example


TOLERANCE = 1e-4
# a file of the format holds at most 2 GiB; weights of larger models lie beside it
LARGEST = 2**31 - 2**26


class Outputs(nn.Module):
    """A model whose arguments and results are plain tensors, in a fixed order."""

    def __init__(self, model: PreTrainedModel, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, **types, return_dict=True)
        return tuple(outputs[name] for name in self.names)


def export_onnx(model: PreTrainedModel, path: str | Path) -> float:
    """Write `model` as ONNX and run it in onnxruntime, with the batch and length of the export and with others.

    Inputs are `input_ids`, `attention_mask` and, where the model tells two texts apart by it, `token_type_ids`: int64
    `(batch, length)` (`(batch, choices, length)` for multiple choice); outputs have the names they have in transformers (`logits`, or `start_logits`, `end_logits`, …).

    Args:
        model: an encoder in float32.
        path: of the file, created with its folder.

    Returns:
        The largest difference to torch that was found.

    Raises:
        ValueError: the model is a decoder, or onnxruntime gives other outputs than torch.
        ImportError: the extra `onnx` is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, extra="onnx")
    if model.config.is_encoder_decoder or getattr(model.config, "is_decoder", False) or model.can_generate():
        raise ValueError(f"ONNX export is for encoders; {type(model).__name__} generates text.")
    model, path = model.eval(), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    choices = type(model).__name__.endswith("MultipleChoice")
    first = example(model.config, choices)
    if getattr(model.config, "type_vocab_size", 0) > 1:
        types = torch.zeros_like(first["input_ids"])
        types[..., types.shape[-1] // 2 :] = 1
        first["token_type_ids"] = types
    # Eager: the others choose by the shape of the mask, and ONNX has no attention that takes a bias anyway.
    configured = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            names = [name for name, value in model(**first, return_dict=True).items() if torch.is_tensor(value)]
            whole = Outputs(model, names).eval()
            export(whole, first, path)
            return compare(whole, path, [first, *others(first)])
    finally:
        model.set_attn_implementation(configured)


def export(model: Outputs, inputs: dict[str, torch.Tensor], path: Path) -> None:
    # every axis: batch and length, and the number of choices between them
    dynamic = dict.fromkeys(range(inputs["input_ids"].dim()), torch.export.Dim.DYNAMIC)
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    torch.onnx.export(
        model,
        kwargs=inputs,
        f=str(path),
        input_names=list(inputs),
        output_names=model.names,
        dynamic_shapes=dict.fromkeys(inputs, dynamic),
        dynamo=True,
        external_data=size > LARGEST,
        verbose=False,
    )


def others(inputs: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """One text, more texts, shorter and longer ones."""
    return [
        {name: value[:1, ..., :-5] for name, value in inputs.items()},
        {name: value.repeat(3, *[1] * (value.dim() - 1)) for name, value in inputs.items()},
        {name: torch.cat([value, value], dim=-1) for name, value in inputs.items()},
    ]


def compare(model: Outputs, path: Path, examples: list[dict[str, torch.Tensor]]) -> float:
    """The largest difference between torch and onnxruntime.

    Raises:
        ValueError: it is above 1e-4.
    """
    session = require("onnxruntime", extra="onnx").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    apart = 0.0
    for inputs in examples:
        found = session.run(model.names, {name: value.numpy() for name, value in inputs.items()})
        for name, wanted, got in zip(model.names, model(**inputs), found, strict=True):
            shape = tuple(inputs["input_ids"].shape)
            if got.shape != tuple(wanted.shape):
                raise ValueError(
                    f"{path}: {name} has shape {got.shape} for inputs {shape}; {tuple(wanted.shape)} is right."
                )
            difference = (torch.from_numpy(got) - wanted).abs().max().item()
            if not difference <= TOLERANCE:  # NaN, too
                raise ValueError(f"{path}: {name} differs from torch by {difference:.2g} for inputs {shape}.")
            apart = max(apart, difference)
    return apart

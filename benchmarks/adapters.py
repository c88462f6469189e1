"""What adapters cost beside PEFT's LoRA of the same rank and targets: step, activations kept by autograd, gradients.

    python benchmarks/adapters.py --out benchmarks/results/adapters.json

A step is forward and backward with the base frozen. Shapes are those of BERT-base and of a Llama of the same width.
All layers of a shape cost the same, also the first, because its input asks for a gradient, too; so one of the twelve
is run, and `--layers 12` runs all. In bfloat16 the base is, and the adapter float32: what
`get_peft_model` makes of such a base. Ratios are medians over rounds in which all methods take turns.
"""

import copy

import torch
from gates import saved_bytes
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

from ginets import tuners
from paired import arguments, compare, report


LLAMA = {"hidden_size": 768, "intermediate_size": 2048, "num_attention_heads": 12, "vocab_size": 1000}
# model class, config class, its sizes, adapted modules
SHAPES = {
    "bert": (BertModel, BertConfig, {}, ["query", "key", "value"]),
    "llama": (LlamaModel, LlamaConfig, LLAMA, ["q_proj", "k_proj", "v_proj"]),
}
STRUCTURES = ("SHIM", "ICFM", "CTCM", "DTSM")
# config class and its fields; the first is the one others are compared to
METHODS = {
    "lora": (LoraConfig, {"init_lora_weights": False}),
    "none": None,
    "ina_p0": (tuners.InAConfig, {"inhibition_level": 0}),
    "ina": (tuners.InAConfig, {"inhibition_level": 0.3}),
    **{f"mtlora_{name.lower()}": (tuners.MTLoraConfig, {"structure": name}) for name in STRUCTURES},
    "aflora": (tuners.AFLoraConfig, {}),
    "aflora_frozen": (tuners.AFLoraConfig, {"freeze_from_start": "all"}),
    "sora": (tuners.SoraConfig, {}),
}


def build(base, method: str, targets: list[str], r: int, dropout: float):
    """A model with the adapter and the parameters of `base` itself, not copies; B is random, as after some steps."""
    model = copy.deepcopy(base, {id(parameter): parameter for parameter in base.parameters()})
    if METHODS[method] is None:
        return model
    config_cls, fields = METHODS[method]
    ours = issubclass(config_cls, tuners.LowRankConfig)
    names = (config_cls.alpha_field, config_cls.dropout_field) if ours else ("lora_alpha", "lora_dropout")
    fields = fields | dict(zip(names, (2 * r, dropout), strict=True)) | ({"init_weights": False} if ours else {})
    return get_peft_model(model, config_cls(r=r, target_modules=targets, **fields))


def forward(model, hidden_states: torch.Tensor) -> torch.Tensor:
    return model(inputs_embeds=hidden_states).last_hidden_state.float().square().mean()


def step(model, hidden_states: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    hidden_states.grad = None
    forward(model, hidden_states).backward()


def gradient_bytes(model, hidden_states: torch.Tensor) -> int:
    step(model, hidden_states)
    return sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)


def measure(options, shape: str, dtype: str, dropout: float) -> dict[str, dict]:
    """Figures of all methods in one setting."""
    model_cls, config_cls, sizes, targets = SHAPES[shape]
    base = model_cls(config_cls(num_hidden_layers=options.layers, **sizes))
    base = base.to(options.device, getattr(torch, dtype)).requires_grad_(False)
    hidden_states = torch.randn(
        options.batch_size, options.seq_len, base.config.hidden_size, device=options.device, dtype=base.dtype
    ).requires_grad_()
    models = {name: build(base, name, targets, options.r, dropout).train() for name in options.methods}
    figures = compare(
        {name: lambda model=model: step(model, hidden_states) for name, model in models.items()},
        options.repeats,
        options.device,
    )
    for name, model in models.items():
        kept = saved_bytes(model, lambda model=model: forward(model, hidden_states))
        figures[name]["activation_mib"] = round(kept / 2**20, 2)
        figures[name]["gradient_kib"] = round(gradient_bytes(model, hidden_states) / 2**10, 1)
    first = next(iter(figures.values()))
    for each in figures.values():
        each["activation_ratio"] = round(each["activation_mib"] / first["activation_mib"], 4)
    return figures


def main():
    options = arguments(
        __doc__.splitlines()[0],
        layers=1, batch_size=8, seq_len=128, r=8, repeats=7,
        shapes=list(SHAPES), dtypes=["float32", "bfloat16"], dropouts=[0.0, 0.1], methods=list(METHODS),
    )  # fmt: skip
    settings = [(s, t, p) for s in options.shapes for t in options.dtypes for p in options.dropouts]
    report(options, {f"{s}-{t}-dropout{p}": measure(options, s, t, p) for s, t, p in settings})


if __name__ == "__main__":
    main()

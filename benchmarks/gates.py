"""What gates cost: a training step (forward and backward, no optimiser) of gated BERT against stock BERT and against the original formula.

    python benchmarks/gates.py --out benchmarks/results/gates_cpu.json

`full` gates query and key of every layer at full width, `low_rank` does so at width 64, `original` is the published
formula word by word: `select` evaluated twice, one maximum over the whole tensor, plain autograd.
"""

from types import MethodType

import torch
from torch.nn import functional as F
from transformers import BertConfig, BertForSequenceClassification

from ginets import BertGIConfig, BertGIForSequenceClassification
from ginets.models.gated import GatedAttention
from paired import arguments, compare, report


def original_gated(self, projection, side, hidden_states):
    ranks = F.gelu(getattr(self, f"inhibition_{side}")(hidden_states))
    select = getattr(self, f"select_{side}")
    return projection * (F.gelu(select(ranks) - self.config.inhibition_level * select(ranks).max()) + 1)


def build(variant: str, layers: int):
    if variant == "stock":
        return BertForSequenceClassification(BertConfig(num_hidden_layers=layers))
    rank = 64 if variant == "low_rank" else None
    config = BertGIConfig(num_hidden_layers=layers, gi_query_side=True, gi_key_side=True, gi_rank=rank)
    model = BertGIForSequenceClassification(config)
    for module in model.modules():
        if variant == "original" and isinstance(module, GatedAttention):
            module.gated = MethodType(original_gated, module)
    return model


def saved_bytes(model, step) -> int:
    """Bytes that autograd keeps between forward and backward: each storage once, the weights' own left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:  # transposed weights are kept as views of their storage
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = step()  # noqa: F841 — alive until all storages are counted, or addresses are used again
    return sum(kept.values())


def main():
    options = arguments(__doc__.splitlines()[0], layers=12, batch_size=8, seq_len=128)
    inputs = {
        "input_ids": torch.randint(5, 30000, (options.batch_size, options.seq_len), device=options.device),
        "labels": torch.randint(0, 2, (options.batch_size,), device=options.device),
    }

    def step(model):
        model.zero_grad(set_to_none=True)
        model(**inputs).loss.backward()

    variants = ("stock", "full", "low_rank", "original")
    models = {name: build(name, options.layers).to(options.device).train() for name in variants}
    figures = compare(
        {name: lambda model=model: step(model) for name, model in models.items()}, options.repeats, options.device
    )
    figures["full"]["speedup_over_original"] = round(figures["original"]["ratio"] / figures["full"]["ratio"], 4)
    for name, model in models.items():
        figures[name]["parameters"] = model.num_parameters()
        figures[name]["activation_mib"] = round(saved_bytes(model, lambda model=model: model(**inputs)) / 2**20, 1)
    report(options, figures)


if __name__ == "__main__":
    main()

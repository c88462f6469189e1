"""Training the mechanism alone: everything that a pretrained checkpoint brings stays as it is."""

from collections.abc import Iterator

from torch import nn
from transformers import PreTrainedModel

from .gated import GatedAttention
from .inhibited import InhibitedLowRank


def freeze_base(model: PreTrainedModel) -> PreTrainedModel:
    """Freeze the stock parts of a model with gates or inhibited branches; returns the model.

    Trainable are the mechanism and a head for a task. The output layer of a language model belongs to the base.

    Raises:
        ValueError: the model has no such parts, so nothing would be trained.
    """
    own = {id(parameter) for module in mechanism(model) for parameter in module.parameters()}
    if not own:
        raise ValueError(f"{type(model).__name__} has neither gates nor inhibited branches; all of it is base.")
    base = {id(parameter) for parameter in getattr(model, model.base_model_prefix, model).parameters()}
    output = model.get_output_embeddings()
    base |= {id(parameter) for parameter in output.parameters()} if output is not None else set()
    for parameter in model.parameters():
        parameter.requires_grad = id(parameter) in own or id(parameter) not in base
    return model


def mechanism(model: nn.Module) -> Iterator[nn.Module]:
    """The modules that a family of ours adds to the stock model."""
    for module in model.modules():
        if isinstance(module, InhibitedLowRank):
            yield module
        elif isinstance(module, GatedAttention):
            yield from (
                child for name, child in module.named_children() if name.startswith(("inhibition_", "select_"))
            )

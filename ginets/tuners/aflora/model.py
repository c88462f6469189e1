"""AFLoRA: the tuner, and how the state of the freezing travels with the adapter's weights."""

import re
from collections import defaultdict

import torch
from torch import nn

from ..lowrank.model import LowRankModel
from ..targets import WITH_FEED_FORWARD, with_gated
from .config import AFLoraConfig
from .layer import AFLoraEmbedding, AFLoraLayer, AFLoraLinear
from .scores import MatrixState


STATE = "aflr_state"
STATE_KEY = re.compile(rf"^(?:base_model\.model\.)?(?P<module>.+)\.{STATE}\.(?P<matrix>[AB])_(?P<field>\w+)$")


class AFLoraModel(LowRankModel):
    """A model with branches `b ⊙ B (d ⊙ A x)`.

    While a training with freezing runs, saved adapters hold, beside the four tensors of each module, what is needed to
    go on: `aflr_state.<A|B>_{window,mean,spread,seen}` of what trains, `aflr_state.<A|B>_frozen_at` of what is
    frozen. It is no part of the model's own `state_dict`, so data parallel training does not send it around. Once the
    training is over, the saved adapter is the four tensors again.
    """

    prefix = "aflr_"
    tuner_layer_cls = AFLoraLayer
    linear_cls = AFLoraLinear
    embedding_cls = AFLoraEmbedding
    target_module_mapping = with_gated(WITH_FEED_FORWARD)

    def sizes(self, config: AFLoraConfig, name: str) -> dict:
        return super().sizes(config, name) | {"name": name}

    def _post_injection_hook(self, model: nn.Module, config: AFLoraConfig, adapter_name: str) -> None:
        """Refuse names in `freeze_from_start` that freeze nothing."""
        super()._post_injection_hook(model, config, adapter_name)
        names = [f".{name}" for name in self.targeted_module_names]
        for end in set(config.freeze_from_start or ()) - {"all", "square"}:
            if not any(name.endswith(f".{end}") for name in names):
                raise ValueError(
                    f"AFLoraConfig: freeze_from_start has {end!r}, with which the name of no adapted module ends; "
                    f"adapted are {', '.join(self.targeted_module_names)}."
                )

    @classmethod
    def _get_adapter_state_dict(cls, model, config, adapter_name, state_dict, unwanted_adapter_names):
        tensors = super()._get_adapter_state_dict(model, config, adapter_name, state_dict, unwanted_adapter_names)
        for name, layer in layers_with(model, adapter_name).items():
            for matrix, state in layer.matrices[adapter_name].items():
                for field, tensor in state.tensors().items():
                    tensors[f"{name}.{STATE}.{adapter_name}.{matrix}_{field}"] = tensor
        return tensors

    @classmethod
    def _remap_adapter_state_dict_for_load(cls, model, config, adapter_name, state_dict):
        """Take the state out of the checkpoint and put it aside.

        Nothing is frozen yet: an optimizer made now has to have all that the saved one had. `FreezeController` freezes.
        """
        found: dict[str, dict[str, dict]] = defaultdict(lambda: defaultdict(dict))
        weights: dict[str, torch.Tensor] = {}
        for key, tensor in state_dict.items():
            if match := STATE_KEY.match(key):
                found[match["module"]][match["matrix"]][match["field"]] = tensor
            else:
                weights[key] = tensor
        for name, layer in layers_with(model, adapter_name).items():
            layer.thaw(adapter_name)
            if not config.inference_mode:
                states = found[name.removeprefix("base_model.model.")]
                layer.matrices[adapter_name] |= {m: MatrixState.from_tensors(fields) for m, fields in states.items()}
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, weights)


def layers_with(model: nn.Module, adapter: str) -> dict[str, AFLoraLayer]:
    """Name → layer, of all layers that have the adapter."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, AFLoraLayer) and adapter in module.r
    }

"""SoRA: the tuner, and pruning."""

import re
from copy import copy

from torch import nn

from ..lowrank.model import LowRankModel
from ..targets import WITH_FEED_FORWARD, with_gated
from .layer import SoraEmbedding, SoraLayer, SoraLinear


class SoraModel(LowRankModel):
    """A model with gated low-rank branches."""

    prefix = "sora_"
    tuner_layer_cls = SoraLayer
    linear_cls = SoraLinear
    embedding_cls = SoraEmbedding
    target_module_mapping = with_gated(WITH_FEED_FORWARD)

    def prune(self, adapter_name: str = "default") -> dict[str, int]:
        """Remove the ranks whose gate is zero, for good. Outputs stay the same.

        The ranks that are left go into the config (`rank_pattern`, and `alpha_pattern` so that the factor s stays), so
        `save_pretrained` writes an adapter of that size, which loads like any other. A layer keeps at least one rank.

        Returns:
            Name of each module → rank that is left.

        Raises:
            ValueError: there is no such adapter.
        """
        if adapter_name not in self.peft_config:
            raise ValueError(f"adapter_name is {adapter_name!r}; the model has {', '.join(self.peft_config)}.")
        layers = {name: layer for name, layer in self.model.named_modules() if has_gate(layer, adapter_name)}
        ranks = {name: layer.prune(adapter_name) for name, layer in layers.items()}
        # a config of its own: adapters may share one. Every module has its own line, so no other pattern is needed;
        # ^ keeps a line from matching longer names
        config = self.peft_config[adapter_name] = copy(self.peft_config[adapter_name])
        config.rank_pattern = {f"^{re.escape(name)}": rank for name, rank in ranks.items()}
        config.alpha_pattern = {f"^{re.escape(name)}": layer.alpha[adapter_name] for name, layer in layers.items()}
        return ranks


def has_gate(module: nn.Module, adapter: str) -> bool:
    return isinstance(module, SoraLayer) and adapter in module.r

"""How a family's models are put together, whatever their mechanism: stock parts first, then the family's own."""

import math
import zlib

import torch
from torch import nn
from transformers import initialization as init
from transformers.utils import logging

from .flags import is_flag


logger = logging.get_logger(__name__)


class ZeroLinear(nn.Linear):
    """A linear map that starts at zero. A type of its own, so that `_init_weights` can tell it, like those below."""


class NormalLinear(nn.Linear):
    """A linear map that starts as those of the stock model do: N(0, `initializer_range`²), bias 0."""


class KaimingLinear(nn.Linear):
    """A linear map, without bias, that starts as LoRA's first one does: U(±1/√in_features)."""


class InhibitedPreTrainedMixin:
    """Mixin for a `PreTrainedModel`: build the stock model, put the family's own parts in, initialise once.

    A family's backbone overrides `adapt`. Its heads inherit `adapt` from here and get, in place of the stock backbone,
    what the family's `build_backbone(config, stock_backbone)` returns.
    """

    def __init__(self, config, *args, **kwargs):
        for name in filter(is_flag, kwargs):  # known ones are in the config by now: this one is refused
            setattr(config, name, kwargs[name])
        checkpointing = getattr(config, "gradient_checkpointing", None)
        with init.no_init_weights():  # everything is initialised once, below, when all parts are there
            super().__init__(config, *args, **kwargs)
            if checkpointing is not None:  # the stock parts have used it up; the ones that replace them need it too
                config.gradient_checkpointing = checkpointing
            self.adapt(config)
        self.post_init()

    def adapt(self, config):
        """Replaces stock parts by the family's. For a head: its backbone."""
        name = self.base_model_prefix
        backbone = getattr(self, name, None)  # not there yet in a head of your own that builds it afterwards
        if backbone is not None and not isinstance(backbone, InhibitedPreTrainedMixin):
            setattr(self, name, self.build_backbone(config, backbone))

    @torch.no_grad()
    def _init_weights(self, module):
        """The mechanism starts as the identity: what a gate or a branch multiplies or adds is zero.

        Its draws leave the global stream where it is. So a fresh head on a checkpoint starts as in the stock model of the
        same seed, and runs with and without the mechanism can be compared seed by seed.
        """
        if isinstance(module, ZeroLinear):
            init.zeros_(module.weight)
        elif isinstance(module, NormalLinear):
            init.normal_(module.weight, std=self.config.initializer_range, generator=self._own_draws(module.weight))
        elif isinstance(module, KaimingLinear):
            init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=self._own_draws(module.weight))
        else:
            return super()._init_weights(module)
        if module.bias is not None:
            init.zeros_(module.bias)

    def _own_draws(self, tensor: torch.Tensor) -> torch.Generator | None:
        """Another generator at each call, seeded by where the global one stands."""
        if tensor.is_meta:
            return None
        self._draws = getattr(self, "_draws", 0) + 1
        seed = zlib.crc32(torch.get_rng_state().numpy().tobytes(), self._draws)
        return torch.Generator(tensor.device).manual_seed(seed)

    def warn_if_nothing_is_on(self, projections: tuple[str, ...]):
        if not (projections and self.config.inhibited_layers):
            logger.warning(
                f"{type(self).__name__}: no side is on, so this is numerically the stock model. Set `gi_query_side` "
                "or `gi_key_side` (and a `gi_layer_num` above 0) in the config to switch inhibition on."
            )

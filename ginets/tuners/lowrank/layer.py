"""A frozen layer with low-rank branches, one per adapter. A method says what happens between A and B.

    y = W x + s · B̂ · f(A · dropout(x)),        s = α/r, or α/√r with `use_rslora`

`f` is `between`, `B̂` is `up_of` B. A method is linear where `f` is; then everything that needs a weight (merging,
export as LoRA) follows from these two. Errors that PEFT's LoRA raises, too, are worded as there: its tests and its
users look for these words.
"""

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from peft.utils import resolve_quantization_backend
from torch import nn
from torch.nn import functional as F
from transformers.pytorch_utils import Conv1D

from .config import LowRankConfig


class NotMergeableError(ValueError):
    """The update depends on the input, so no weight equals it."""


class Projection(nn.Linear):
    """A or B. Its weight is for use within its own call: hooks on the call fetch it where it is offloaded or sharded."""

    def forward(self, use: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return use(self.weight)


class Tensors(nn.ParameterDict):
    """Tensors by adapter, read by a call, for the same reason."""

    __call__ = nn.Module.__call__  # a `ParameterDict` refuses to be called

    def forward(self, adapter: str) -> torch.Tensor:
        return self[adapter]


class LowRankLayer(nn.Module, BaseTunerLayer):
    """What the layers of all methods share. Subclasses: `LinearBranch`, `EmbeddingBranch` in `.branches`.

    A method sets `prefix` and the names of its tensors, and overrides `add_core`, `between`, `up_of`.
    """

    prefix: str
    # names of the method's own tensors beside A and B, without the prefix
    core_names: tuple[str, ...] = ()
    # names of the method's own records beside r and α: one dict each, keyed by adapter
    record_names: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "prefix"):
            cls.adapter_layer_names = tuple(cls.prefix + name for name in ("A", "B", *cls.core_names))
            cls.other_param_names = ("r", "alpha", "scaling", "configs", *cls.record_names, cls.prefix + "dropout")

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: LowRankConfig, sizes: dict, **kwargs):
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = _get_in_out_features(self.get_base_layer())
        self.quantization_backend = resolve_quantization_backend(self.get_base_layer(), **kwargs)
        self.r: dict[str, int] = {}
        self.alpha: dict[str, float | None] = {}
        self.scaling: dict[str, float] = {}
        self.configs: dict[str, LowRankConfig] = {}
        for name in self.record_names:
            setattr(self, name, {})
        for name, container in self.containers().items():
            self.add_module(self.prefix + name, container)
        self._disable_adapters = False
        self._active_adapter = adapter_name
        self.merged_adapters: list[str] = []
        self.update_layer(adapter_name, config, **sizes)

    # ------------------------------------------------------------------ what a method overrides

    def add_core(self, adapter: str, config: LowRankConfig) -> None:
        """Create the method's own tensors for `adapter`."""

    def between(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        """`f`: ranks `(..., r)` → `(..., r)`."""
        return ranks

    def up_of(self, adapter: str, weight: torch.Tensor) -> torch.Tensor:
        """`B̂`, shape `(out, r)`, made of the weight of B."""
        return weight

    def is_linear(self, adapter: str) -> bool:
        """Whether `f` is linear, so that the branch equals a weight."""
        return True

    def branch(self, adapter: str, ranks: torch.Tensor) -> torch.Tensor:
        """`s · B̂ f(ranks)`. The factor s meets the narrow side, which is cheaper than the wide one."""
        ranks = self.between(adapter, ranks) * self.scaling[adapter]
        return self.using("B", adapter, lambda weight: F.linear(ranks, self.up_of(adapter, weight)))

    def combine(self, adapter: str, result: torch.Tensor, ranks: torch.Tensor) -> torch.Tensor:
        """The output of the base layer plus the branch."""
        return result + self.branch(adapter, ranks)

    # ------------------------------------------------------------------ creating adapters

    def containers(self) -> dict[str, nn.Module]:
        """Empty containers, by name without prefix."""
        core = {name: Tensors() for name in self.core_names}
        return {"A": nn.ModuleDict(), "B": nn.ModuleDict(), **core, "dropout": nn.ModuleDict()}

    def own(self, name: str):
        """The container `<prefix><name>`, keyed by adapter."""
        return getattr(self, self.prefix + name)

    def using(self, name: str, adapter: str, use: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """`use` of the weight of A or B."""
        container = self.own(name)
        return use(container(adapter)) if isinstance(container, Tensors) else container[adapter](use)

    def up_weight(self, adapter: str) -> torch.Tensor:
        """`B̂`, shape `(out, r)`."""
        return self.using("B", adapter, lambda weight: self.up_of(adapter, weight))

    def weight_of(self, name: str, adapter: str) -> torch.Tensor:
        """The parameter A, B or another tensor of the method itself; to compute with it, see `using`."""
        tensor = self.own(name)[adapter]
        return tensor.weight if isinstance(tensor, nn.Module) else tensor

    def update_layer(self, adapter_name: str, config: LowRankConfig, r: int, alpha: float | None) -> None:
        """Add the adapter `adapter_name` of rank `r`."""
        self.r[adapter_name], self.alpha[adapter_name], self.configs[adapter_name] = r, alpha, config
        self.set_scale(adapter_name, 1.0)
        self.own("dropout")[adapter_name] = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.add_projections(adapter_name, config)
        self.add_core(adapter_name, config)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    @abstractmethod
    def add_projections(self, adapter: str, config: LowRankConfig) -> None:
        """Create A and B."""

    def set_scale(self, adapter: str, scale: float) -> None:
        """Set the adapter's factor to `scale` times its initial one (PEFT's interface)."""
        if adapter in self.r:
            alpha, r = self.alpha[adapter], self.r[adapter]
            divisor = math.sqrt(r) if self.configs[adapter].use_rslora else r
            self.scaling[adapter] = scale * (1.0 if alpha is None else alpha / divisor)

    def scale_layer(self, scale: float) -> None:
        """Multiply the factor of all active adapters by `scale`."""
        for adapter in self.adapters_here():
            self.scaling[adapter] *= scale

    def unscale_layer(self, scale: float | None = None) -> None:
        """Divide the factor of all active adapters by `scale`; None: reset it."""
        for adapter in self.adapters_here():
            if scale is None:
                self.set_scale(adapter, 1.0)
            else:
                self.scaling[adapter] /= scale

    def adapters_here(self) -> list[str]:
        """The active adapters that this layer has."""
        return [adapter for adapter in self.active_adapters if adapter in self.r]

    # ------------------------------------------------------------------ the update as a weight

    def factors(self, adapter: str) -> tuple[torch.Tensor, torch.Tensor]:
        """`Â (r, in)` and `B̂ (out, r)` with `ΔW = s · B̂ Â`.

        Raises:
            NotMergeableError: the branch is not linear.
        """
        if not self.is_linear(adapter):
            raise NotMergeableError(self.why_not_mergeable(adapter))
        down = self.using("A", adapter, lambda weight: self.between(adapter, weight.T).T)
        return down, self.up_weight(adapter)

    def why_not_mergeable(self, adapter: str) -> str:
        return f"{type(self).__name__}: the update of adapter {adapter!r} depends on its input and is no weight."

    def get_delta_weight(self, adapter: str) -> torch.Tensor:
        """`ΔW` in the layout of the base weight. Half precision is multiplied out in float32."""
        down, up = self.factors(adapter)
        delta = up.float() @ down.float() * self.scaling[adapter] if is_half(up) else up @ down * self.scaling[adapter]
        return (delta.T if self.is_transposed else delta).to(up.dtype)

    @property
    def is_transposed(self) -> bool:
        """Whether the base weight is `(in, out)`: `Conv1D`, `nn.Embedding`."""
        return isinstance(self.get_base_layer(), Conv1D | nn.Embedding)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the update of the adapters to the base weight (PEFT's interface).

        Raises:
            NotMergeableError: an update is no weight.
            ValueError: with `safe_merge`, the sum is not finite.
        """
        for adapter in check_adapters_to_merge(self, adapter_names):
            if adapter not in self.r:
                continue
            delta = self.get_delta_weight(adapter)
            merged = self.base_weight().to(delta.device) + delta.to(self.base_weight().dtype)
            if safe_merge and not torch.isfinite(merged).all():
                raise ValueError(
                    f"NaNs detected in the merged weights. The adapter {adapter} seems to be broken; the base weight "
                    "is unchanged."
                )
            self.store_base_weight(merged)
            self.merged_adapters.append(adapter)

    def unmerge(self) -> None:
        """Subtract the updates of all merged adapters again."""
        if not self.merged:
            warnings.warn("no adapter is merged; there is nothing to undo.", stacklevel=2)
        while self.merged_adapters:
            delta = self.get_delta_weight(self.merged_adapters.pop())
            self.store_base_weight(self.base_weight() - delta.to(self.base_weight().dtype))

    def base_weight(self) -> torch.Tensor:
        layer, backend = self.get_base_layer(), self.quantization_backend
        return backend.get_base_weight(layer) if backend else layer.weight.data

    def store_base_weight(self, weight: torch.Tensor) -> None:
        if self.quantization_backend:
            self.quantization_backend.set_base_weight(self, weight)
        else:
            self.get_base_layer().weight.data = weight

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return adapter_name not in self.r or self.is_linear(adapter_name)

    # ------------------------------------------------------------------ forward

    def forward(self, x: torch.Tensor, *args, adapter_names: list[str] | None = None, **kwargs) -> torch.Tensor:
        """`(..., in)` → `(..., out)`; `adapter_names` gives each row of the batch its own adapter, or `__base__`."""
        if self.merged and (self.disable_adapters or adapter_names is not None):
            if adapter_names is not None:
                raise ValueError(
                    "Cannot pass `adapter_names` when there are merged adapters, please call `unmerge_adapter` first."
                )
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.quantization_backend:
            result = self.quantization_backend.maybe_clone_base_result(result)
        if self.disable_adapters or self.merged:
            return result
        if adapter_names is not None:
            return self.mix(x, result, adapter_names)
        dtype = result.dtype
        for adapter in self.active_adapters:
            if adapter in self.r:
                result = self.combine(adapter, result, self.ranks(adapter, x))
        return result.to(dtype)

    def mix(self, x: torch.Tensor, result: torch.Tensor, adapter_names: list[str]) -> torch.Tensor:
        """Row i of the batch gets the branch of `adapter_names[i]`."""
        if len(adapter_names) != len(x):
            raise ValueError(
                "Length of `adapter_names` should be the same as the number of inputs, but got "
                f"{len(adapter_names)} and {len(x)}."
            )
        mixed = result.clone()
        for adapter in sorted(set(adapter_names) & self.r.keys()):
            rows = [row for row, name in enumerate(adapter_names) if name == adapter]
            mixed[rows] = self.combine(adapter, result[rows], self.ranks(adapter, x[rows])).to(result.dtype)
        return mixed

    @abstractmethod
    def ranks(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        """`A · dropout(x)`, shape `(..., r)`."""


def is_half(tensor: torch.Tensor) -> bool:
    return tensor.dtype in (torch.float16, torch.bfloat16)

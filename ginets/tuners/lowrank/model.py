"""Placing low-rank branches in a model: PEFT's interface, written once for all methods."""

from contextlib import ExitStack, contextmanager
from functools import partial

from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import AuxiliaryTrainingWrapper, get_quantization_kwargs
from peft.utils.other import get_pattern_key
from torch import nn

from .branches import layer_for
from .layer import LowRankLayer, NotMergeableError
from .nf4 import keep_unpacked


class LowRankModel(BaseTuner):
    """A tuner. A method states `prefix`, `tuner_layer_cls`, its two layer classes and its default targets."""

    linear_cls: type[LowRankLayer]
    embedding_cls: type[LowRankLayer]

    def _create_and_replace(self, peft_config, adapter_name, target, target_name, parent, current_key, **_):
        sizes = self.sizes(peft_config, current_key)
        if isinstance(target, self.tuner_layer_cls):
            target.update_layer(adapter_name, peft_config, **sizes)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        layer_cls = layer_for(base, self.linear_cls, self.embedding_cls)
        if layer_cls is None:
            raise ValueError(
                f"target module {current_key!r} is a {type(base).__name__}, which {type(peft_config).__name__} does "
                "not support; supported are nn.Linear (plain or quantized), Conv1D of transformers and nn.Embedding."
            )
        layer = layer_cls(target, adapter_name, peft_config, sizes, **get_quantization_kwargs(self.model))
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)  # a further adapter does not train until it is activated
        self._replace_module(parent, target_name, layer, target)

    def sizes(self, config, name: str) -> dict:
        """What `update_layer` of the module `name` is given beside the config: r and α, from the patterns."""
        rank_key = get_pattern_key(config.rank_pattern.keys(), name)
        alpha_key = get_pattern_key(config.alpha_pattern.keys(), name)
        return {
            "r": config.rank_pattern.get(rank_key, config.r),
            "alpha": config.alpha_pattern.get(alpha_key, config.alpha),
        }

    def _pre_injection_hook(self, model: nn.Module, config, adapter_name: str) -> None:
        super()._pre_injection_hook(model, config, adapter_name)
        keep_unpacked(model)

    # ------------------------------------------------------------------ merging

    def merge_adapter(self, adapter_names: list[str] | None = None, safe_merge: bool = False) -> None:
        self.check_linear(adapter_names)
        super().merge_adapter(adapter_names, safe_merge)

    def merge_and_unload(
        self, progressbar: bool = False, safe_merge: bool = False, adapter_names: list[str] | None = None
    ) -> nn.Module:
        self.check_linear(adapter_names)
        return super().merge_and_unload(progressbar, safe_merge, adapter_names)

    def check_linear(self, adapters: list[str] | None) -> None:
        """Raise `NotMergeableError`, before anything is touched, if one of the adapters (None: the active) is no weight."""
        for layer in self.branches():
            for adapter in adapters or self.active_adapters:
                if not layer.supports_lora_conversion(adapter):
                    raise NotMergeableError(layer.why_not_mergeable(adapter))

    def branches(self) -> list[LowRankLayer]:
        """All layers that carry branches."""
        return [module for module in self.model.modules() if isinstance(module, LowRankLayer)]

    def supports_lora_conversion(self, adapter_name: str = "default") -> bool:
        return all(layer.supports_lora_conversion(adapter_name) for layer in self.branches())

    def add_weighted_adapter(self, adapters: list[str], *args, **kwargs):
        """Not offered: adapters of this method combine only as LoRA.

        Raises:
            NotMergeableError: always; the message says what to do.
        """
        self.check_linear(adapters)
        raise NotMergeableError(
            "weighted sums are formed of LoRA adapters: export each with ginets.to_lora(model, folder), load the "
            "folders with PEFT and call add_weighted_adapter there."
        )

    # ------------------------------------------------------------------ one adapter per row

    @contextmanager
    def _enable_peft_forward_hooks(self, *args, **kwargs):
        """Hand `adapter_names` (one per row of the batch) to every layer, for inference with mixed batches."""
        names = kwargs.pop("adapter_names", None)
        if names is None:
            yield
            return
        self.check_adapter_names(names)
        beams = kwargs.get("num_beams") or 1
        # beams repeat each row, though not in an encoder, which runs once before they are made
        config = getattr(self.model, "config", None)
        encoder = self.model.get_encoder() if getattr(config, "is_encoder_decoder", False) else nn.Module()
        once = set(encoder.modules())
        with ExitStack() as hooks:
            for module in self.modules():
                if isinstance(module, LowRankLayer | AuxiliaryTrainingWrapper):
                    rows = list(names) if module in once else [name for name in names for _ in range(beams)]
                    handle = module.register_forward_pre_hook(partial(give_names, rows), with_kwargs=True)
                    hooks.callback(handle.remove)
            yield

    def check_adapter_names(self, names: list[str]) -> None:
        if self.training:
            raise ValueError(
                "Cannot pass `adapter_names` when the model is in training mode. Call model.eval() first."
            )
        known = {adapter for layer in self.branches() for adapter in layer.r}
        if unknown := sorted(set(names) - known - {"__base__"}):
            raise ValueError(
                f"Trying to infer with non-existing adapter(s): {', '.join(unknown)}; "
                f"the model has {', '.join(sorted(known))}."
            )


def give_names(rows: list[str], module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return args, kwargs | {"adapter_names": rows}

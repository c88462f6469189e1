"""A model that is served: loaded once with its adapters, asked in batches."""

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedConfig

from ..viz.attention import base_of, capture, longest_input
from .limits import Limits, RequestError


logger = logging.getLogger(__name__)

BARE = "__base__"  # PEFT's name for no adapter
OWN = "default"  # the adapter of a model that is an adapter itself
TOLERANCE = 1e-4  # between rows of a mixed batch and the same rows alone


@dataclass
class Row:
    """A tokenised text.

    Attributes:
        inputs: of the model, without padding.
        adapter: to read it with; None where the model has none.
        source: what the head needs to make sense of the outputs.
    """

    inputs: dict[str, list[int]]
    adapter: str | None = None
    source: object = None

    @property
    def length(self) -> int:
        return len(self.inputs["input_ids"])


class Served:
    """A model in evaluation mode, its tokenizer and its adapters.

    Args:
        model: of transformers, ginets or PEFT.
        head: what stands after `AutoModelFor` in its class.
        adapters: further adapters of a PEFT model that requests may choose: name → the config it was trained with.
    """

    def __init__(
        self,
        name: str,
        model,
        tokenizer,
        head: str,
        limits: Limits,
        adapters: Mapping[str, PreTrainedConfig] | None = None,
    ):
        self.name, self.model, self.head, self.limits = name, model, head, limits
        self.configs = dict(adapters or {})
        self.adapters = tuple(self.configs)
        # a fast tokenizer must not be used by two threads at once: one reads requests, one is the model's
        self.tokenizer, self.reader = tokenizer, copy.deepcopy(tokenizer)
        self.config = base_of(model).config
        self.own = OWN if OWN in getattr(model, "peft_config", {}) else BARE
        self.positions = longest_input(tokenizer, self.config)
        self.max_length = min(self.positions, limits.input_tokens)
        self.max_rows = limits.batch_rows if (reason := self.why_single()) is None else 1
        if reason:
            logger.warning("model %s is served at batch 1: %s", name, reason)
        self.mixes = self.max_rows > 1 and bool(self.adapters) and self.mixes_adapters()
        if self.adapters and not self.mixes:
            logger.warning("model %s: requests for different adapters are not batched together.", name)

    def why_single(self) -> str | None:
        """Why texts must not be batched, if so."""
        if getattr(self.config, "inhibition_scope", "token") == "batch" and self.config.inhibited_sides:
            return "its gates take the maximum over the batch (inhibition_scope 'batch'), so texts would change each other"
        if "longrope" in rope_types(self.config):  # "dynamic" does so beyond its positions, which are kept to here
            return "its rotary frequencies change with the longest text of a batch (rope_type 'longrope')"
        if self.head != "CausalLM" and (self.tokenizer.pad_token_id is None or self.config.pad_token_id is None):
            return "tokenizer or config names no padding token"
        return None

    def chosen(self, adapter: str | None) -> str | None:
        """PEFT's name of the adapter a request asks for.

        Raises:
            RequestError: 404, it was not loaded.
        """
        if adapter is None:
            return self.own if hasattr(self.model, "peft_config") else None
        if adapter not in self.adapters:
            known = ", ".join(f"{self.name}:{each}" for each in self.adapters) or "none"
            raise RequestError(404, f"model {self.name!r} has no adapter {adapter[:80]!r}; it has {known}.", "model_not_found", "model")  # fmt: skip
        return adapter

    def config_of(self, adapter: str | None) -> PreTrainedConfig:
        """The config that says what the outputs of an adapter mean."""
        return self.configs.get(adapter, self.config)

    def key(self, adapter: str | None) -> str | None:
        """What jobs of a batch must have in common."""
        return None if self.mixes else adapter

    # ------------------------------------------------------------------ in the model's thread

    @contextmanager
    def adapted(self, names: Sequence[str | None]) -> Iterator[dict]:
        """The model with the adapters of these rows; yields what its call needs beside the inputs."""
        if names[0] is None:
            yield {}
        elif len(set(names)) > 1:
            yield {"adapter_names": list(names)}
        else:
            if names[0] != BARE:
                self.model.set_adapter(names[0], inference_mode=True)
            with self.model.disable_adapter() if names[0] == BARE else nullcontext():
                yield {}

    def forward(self, rows: Sequence[Row]) -> list[dict[str, np.ndarray]]:
        """The outputs of each row by name, cut to its length where they are per token."""
        results = []
        for at in range(0, len(rows), self.max_rows):
            results += self._forward(rows[at : at + self.max_rows])
        return results

    def _forward(self, rows: Sequence[Row]) -> list[dict[str, np.ndarray]]:
        with torch.inference_mode(), self.adapted([row.adapter for row in rows]) as extra:
            outputs = self.model(**self.padded(rows), **extra)
        arrays = {name: value.float().cpu().numpy() for name in OUTPUTS if (value := outputs.get(name)) is not None}
        per_token = self.head != "SequenceClassification"
        return [
            {name: array[at, : row.length] if per_token else array[at] for name, array in arrays.items()}
            for at, row in enumerate(rows)
        ]

    def padded(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        columns = {name: [row.inputs[name] for row in rows] for name in rows[0].inputs}
        if len({row.length for row in rows}) == 1:  # nothing to pad, and perhaps nothing to pad with
            batch = {name: torch.tensor(values) for name, values in columns.items()}
        else:
            batch = self.tokenizer.pad(columns, padding_side="right", return_tensors="pt")
        return {name: tensor.to(self.model.device) for name, tensor in batch.items()}

    def attention(self, texts: Sequence[tuple[str, str | None, str | None]]) -> list[dict]:
        """Maps of texts `(text, text_pair, adapter)`; they have been checked to be short."""
        return [self._attention(*each) for each in texts]

    def _attention(self, text: str, text_pair: str | None, adapter: str | None) -> dict:
        with self.adapted([adapter]):
            found = capture(self.model, self.tokenizer, text, text_pair, self.max_length)
        maps = found.weights.mean(axis=1).astype(float).round(5)
        return {"tokens": list(found.tokens), "special": found.special.tolist(), "layers": maps.tolist()}

    def sample(self, text: str = "a b c") -> dict[str, list[int]]:
        encoded = self.reader(text)
        return {name: encoded[name] for name in self.reader.model_input_names if name in encoded}

    def warm_up(self) -> None:
        """What only the first calls have to do: allocating, choosing kernels, compiling."""
        row = Row(self.sample(), self.chosen(None))
        for count in {1, self.max_rows}:
            self._forward([row] * count)

    def mixes_adapters(self) -> bool:
        """Whether rows of one batch may have different adapters: tried out, for it depends on method and modules."""
        texts = ["a b c"] if self.tokenizer.pad_token_id is None else ["a b c", "a"]
        names = [self.own, *self.adapters]
        rows = [Row(self.sample(texts[at % len(texts)]), name) for at, name in enumerate(names)]
        try:
            mixed = self._forward(rows)
        except Exception as error:  # each method refuses in its own way
            logger.info("model %s: no mixed batches (%s)", self.name, type(error).__name__)
            return False
        alone = [self._forward([row])[0] for row in rows]
        pairs = [(a[name], b[name]) for a, b in zip(mixed, alone, strict=True) for name in a]
        return all(np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE) for a, b in pairs)


OUTPUTS = ("logits", "start_logits", "end_logits")


def rope_types(config: PreTrainedConfig) -> set[str]:
    """How the model computes rotary positions: one way, or one for each kind of its layers."""
    parameters = getattr(config, "rope_parameters", None) or {}
    kinds = [parameters, *(each for each in parameters.values() if isinstance(each, dict))]
    return {each["rope_type"] for each in kinds if each.get("rope_type")}

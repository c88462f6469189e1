"""A model that is served: loaded once with its adapters, asked in batches."""

import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedConfig

from ..extras import require
from ..hub.load import ModelSource, find_model
from ..models.flags import GateFlags, InAFlags, is_flag
from ..viz.attention import base_of, capture, longest_input
from .limits import Limits, RequestError


logger = logging.getLogger(__name__)

BARE = "__base__"  # PEFT's name for no adapter
OWN = "default"  # the adapter of a model that is an adapter itself
TOLERANCE = 1e-4  # between rows of a mixed batch and the same rows alone
FLAGS = {each.name: each.default for kind in (GateFlags, InAFlags) for each in fields(kind) if is_flag(each.name)}


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


def open_model(name: str, path: str, adapters: dict[str, str], limits: Limits, dtype: str = "float32") -> Served:
    """The model or live adapter at `path`, with further adapters, on the accelerator if there is one.

    Raises:
        ValueError: it cannot be loaded, has no head that is served, or an adapter does not fit.
    """
    from .heads import HEADS

    source = find_model(path)
    if (head := source.saved_head) not in HEADS:
        raise ValueError(f"{path!r} was saved with the head {head}; served are {', '.join(HEADS)}.")
    configs = {label: fitting(find_model(folder), source).config for label, folder in adapters.items()}
    tokenizer, model = source.tokenizer(), source.model(dtype)
    for adapter, folder in adapters.items():
        model = with_adapter(model, adapter, folder)
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    return HEADS[head](name, model.eval(), tokenizer, head, limits, configs)


def fitting(adapter: ModelSource, source: ModelSource) -> ModelSource:
    """`adapter`, if it can be put on the model of `source`: for the same head, with the same gates.

    Raises:
        ValueError: it cannot.
    """
    if adapter.adapter is None:
        raise ValueError(f"{adapter.path!r} is no adapter.")
    if adapter.saved_head != source.saved_head:
        raise ValueError(
            f"the adapter {adapter.path!r} is for {adapter.saved_head}, {source.path!r} is for {source.saved_head}."
        )
    for flag, default in FLAGS.items():
        its, mine = (getattr(each.config, flag, default) for each in (adapter, source))
        if its != mine:
            raise ValueError(
                f"the adapter {adapter.path!r} was trained with {flag} = {its!r}; {source.path!r} has {mine!r}."
            )
    trained_on, served = adapter.base[0], source.base[0]
    if Path(trained_on).resolve() != Path(served).resolve():
        logger.warning("the adapter %s was trained on %s and is put on %s.", adapter.path, trained_on, served)
    return adapter


def with_adapter(model, name: str, folder: str):
    """A PEFT model that has the adapter, too."""
    peft = require("peft", extra="adapters")
    try:
        if not isinstance(model, peft.PeftModel):
            return peft.PeftModel.from_pretrained(model, folder, adapter_name=name)
        model.load_adapter(folder, name)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"the adapter at {folder!r} does not fit: {error}") from error
    return model


def read_names(arguments: Sequence[str], adapters: Sequence[str]) -> dict[str, tuple[str, dict[str, str]]]:
    """`[NAME=]MODEL` and `[MODEL:]NAME=FOLDER` of the command line: name → path, adapters.

    Raises:
        ValueError: a name is missing, not allowed, or given twice.
    """
    models: dict[str, tuple[str, dict[str, str]]] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or Path(argument).exists():  # a path that exists is never taken apart
            name, path = Path(argument).resolve().name if Path(argument).exists() else argument, argument
        add_name(models, name, (path, {}), f"{argument!r}: write NAME=MODEL")
    for argument in adapters:
        label, equals, folder = argument.partition("=")
        if not equals:
            raise ValueError(f"--adapter {argument!r} has no name; write NAME=FOLDER, or MODEL:NAME=FOLDER.")
        model, _, name = label.rpartition(":")
        if "." in name:  # PEFT makes it part of the names of modules
            raise ValueError(f"--adapter {argument!r}: the name must not have a '.'.")
        if not model and len(models) > 1:
            raise ValueError(f"--adapter {argument!r}: of which model? Write MODEL:{argument}.")
        model = model or next(iter(models))
        if model not in models:
            raise ValueError(f"--adapter {argument!r}: there is no model {model!r}; there are {', '.join(models)}.")
        if name in (BARE, OWN):  # PEFT's own
            raise ValueError(f"--adapter {argument!r}: the name must not be {name!r}.")
        add_name(models[model][1], name, folder, f"--adapter {argument!r}: write NAME=FOLDER")
    return models


def add_name(names: dict, name: str, value: object, otherwise: str) -> None:
    if not name or ":" in name or name in names:
        raise ValueError(f"{otherwise} with a name of its own, without ':'.")
    names[name] = value

"""A model or an adapter, from its folder or the Hub, ready for inference: the right class, adapters live."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import transformers
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedConfig
from transformers.utils import cached_file

from ..extras import require


ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
BASE = "base"  # subfolder in which an adapter of the recipes keeps the config of its base model
# task of an adapter → head
HEADS = {
    "CAUSAL_LM": "CausalLM",
    "SEQ_CLS": "SequenceClassification",
    "TOKEN_CLS": "TokenClassification",
    "QUESTION_ANS": "QuestionAnswering",
    "SEQ_2_SEQ_LM": "Seq2SeqLM",
    "FEATURE_EXTRACTION": None,
}
CLASSIFIERS = ("score.weight", "classifier.weight", "classifier.out_proj.weight")


def load_for_inference(path: str, head: str | None = None, dtype: str = "float32", **hub_options) -> tuple:
    """The model at `path` in evaluation mode, and its tokenizer.

    Args:
        path: folder or name on the Hub of a model that transformers or ginets can load, or of a PEFT adapter. An
            adapter is put on its base model and stays live: it is never merged. If it keeps the config of its base
            (`base/config.json`, as the recipes do), the base is built with that one, so labels and gates are there.
        head: e.g. `QuestionAnswering`; by default the one the model or the adapter was saved with, or none.
        dtype: of the model.
        hub_options: `revision`, `token`, `cache_dir`.

    Returns:
        The model, and the tokenizer of the adapter, or if it has none that of its base.

    Raises:
        ValueError: there is no such model, it is no safetensors file, or the adapter does not fit.
    """
    source = find_model(path, head, **hub_options)
    return source.model(dtype), source.tokenizer()


def find_model(path: str, head: str | None = None, **hub_options) -> "ModelSource":
    """What is at `path`, from its small files alone; `load_for_inference` says what the arguments mean."""
    if head is not None and not hasattr(transformers, f"AutoModelFor{head}"):
        known = ", ".join(filter(None, HEADS.values()))
        raise ValueError(f"head is {head!r}; it must be one that transformers has, e.g. {known}.")
    source = ModelSource(str(path), head, hub_options)
    if source.config.is_encoder_decoder:
        raise ValueError(f"{path!r} is an encoder-decoder model; give an encoder or a decoder.")
    return source


def find_file(path: str, name: str, **hub_options) -> str | None:
    """The local path of a file in a folder or a repository, fetched if need be; None if there is none."""
    try:
        return cached_file(path, name, _raise_exceptions_for_missing_entries=False, **hub_options)
    except OSError:  # no such folder or repository
        return None


def read_object(path: str | Path) -> dict:
    """The JSON object in a file. Raises `ValueError`, which names the file, if there is none."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is no valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: is {str(content)[:60]!r}; it must be a JSON object.")
    return content


@dataclass
class ModelSource:
    """A model that can be loaded; `find_model` makes it. `other_base`: in place of the one that an adapter names."""

    path: str
    head: str | None = None
    hub_options: dict = field(default_factory=dict)
    other_base: str | None = None

    def file(self, name: str) -> str | None:
        return find_file(self.path, name, **self.hub_options)

    @cached_property
    def adapter(self) -> dict | None:
        """What `adapter_config.json` says; None for a complete model.

        Raises:
            ValueError: it is no JSON, names no method or no base model, or the tensors are in no safetensors file.
        """
        if (found := self.file(ADAPTER_CONFIG)) is None:
            return None
        content = read_object(found)
        for name in ("peft_type", *(() if self.other_base else ("base_model_name_or_path",))):
            if not isinstance(content.get(name), str):
                raise ValueError(f"{found}: names no {name}.")
        if self.file(ADAPTER_WEIGHTS) is None:
            raise ValueError(f"no adapter at {self.path!r}: there is no {ADAPTER_WEIGHTS}.")
        return content

    @property
    def base(self) -> tuple[str, dict]:
        """The complete model, and the Hub options that fetch it."""
        if self.adapter is None:
            return self.path, self.hub_options
        if self.other_base:
            return self.other_base, self.hub_options
        revision = self.adapter.get("revision") or "main"
        return self.adapter["base_model_name_or_path"], self.hub_options | {"revision": revision}

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The config to build the model with."""
        path, options = self.base
        if saved := self.file(f"{BASE}/config.json") if self.adapter else None:
            path, options = str(Path(saved).parent), {}
        try:
            if path.startswith(("/", ".", "~")) and not Path(path).exists():  # no name on the Hub, either
                raise OSError("there is no such folder")
            config = AutoConfig.from_pretrained(path, **options)
        except StrictDataclassError as error:  # a field, such as a flag of ours, that cannot be used
            raise ValueError(f"config.json at {path!r}: {' '.join(str(error).split())}") from error
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            of = f", the base of the adapter {self.path!r}" if self.adapter else ""
            raise ValueError(
                f"no model at {path!r}{of} ({reason}); give a folder of a model or an adapter, or a name on the Hub."
            ) from error
        if self.adapter and not saved:
            fit_labels(config, self.file(ADAPTER_WEIGHTS))
        return config

    @property
    def model_class(self) -> type:
        """The Auto class of the head: they also know the families of ginets, and gates in a stock config."""
        return getattr(transformers, f"AutoModelFor{head}") if (head := self.head or self.saved_head) else AutoModel

    @property
    def saved_head(self) -> str | None:
        """The head that was saved; None for a model without one."""
        if self.adapter and self.adapter.get("task_type") in HEADS:
            return HEADS[self.adapter["task_type"]]
        made_on = ((self.adapter or {}).get("auto_mapping") or {}).get("base_model_class")
        name = made_on or next(iter(self.config.architectures or ()), "")
        head = "CausalLM" if name.endswith("LMHeadModel") else name.partition("For")[2]
        return head if hasattr(transformers, f"AutoModelFor{head}") else None

    def tokenizer(self):
        own = self.adapter and self.file("tokenizer_config.json")
        path, options = (self.path, self.hub_options) if own else self.base
        try:
            return AutoTokenizer.from_pretrained(path, **options)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"no tokenizer at {path!r} ({reason}).") from error

    def model(self, dtype: str = "float32"):
        path, options = self.base
        try:
            model, _ = read_weights(self.model_class, path, self.config, dtype=dtype, **options)
        except OSError as error:
            raise ValueError(f"no weights at {path!r} ({str(error).strip().splitlines()[0]}).") from error
        if self.adapter:
            peft = require("peft", extra="adapters")
            try:
                model = peft.PeftModel.from_pretrained(model, self.path, **self.hub_options)
            except (KeyError, RuntimeError, ValueError) as error:
                raise ValueError(f"the adapter at {self.path!r} does not fit {path!r}: {error}") from error
        return model.eval()


def read_weights(auto: type, name: str, config: PreTrainedConfig, **options) -> tuple:
    """A model with the weights at `name`, safetensors only, and transformers' report of which were there.

    Args:
        auto: Auto class of the head.
        options: of `from_pretrained`.

    Raises:
        OSError: there are none, or they cannot be read.
    """
    mapping = key_mapping(auto, config)
    try:
        model, found = auto.from_pretrained(
            name, config=config, use_safetensors=True, output_loading_info=True, key_mapping=mapping, **options
        )
    except SafetensorError as error:
        raise OSError(f"damaged file: {error}") from error
    if mapping:  # transformers would save it under the names that it found
        model._weight_conversions = None
    return model, found


def key_mapping(auto: type, config: PreTrainedConfig) -> dict[str, str] | None:
    """What `from_pretrained` has to be told for heads whose backbone has another name than in all other models.

    Those for question answering of Llama and its relatives call `transformer` what the others call `model`.
    transformers would leave such weights out and the backbone at random.
    """
    mappings = (auto._model_mapping, AutoModel._model_mapping)
    if not all(type(config) in each for each in mappings):  # the own code of a repository
        return None
    own, usual = (getattr(each[type(config)], "base_model_prefix", None) for each in mappings)
    return {rf"^{usual}\.": "transformer."} if own == "transformer" != usual else None


def position_limit(config: PreTrainedConfig) -> int | None:
    """The longest input that the model has positions for; None where there is no such limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if positions and "roberta" in config.model_type:
        return positions - config.pad_token_id - 1  # its positions are counted from behind the padding id
    return positions


def fit_labels(config: PreTrainedConfig, weights: str) -> None:
    """A head that was trained with an adapter says how many labels there are; `weights`: the adapter's tensors."""
    from safetensors import safe_open

    with safe_open(weights, "pt") as tensors:
        shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    counts = {shape[0] for name, shape in shapes.items() if name.endswith(CLASSIFIERS)}
    if len(counts) == 1 and config.num_labels not in counts:
        config.num_labels = counts.pop()

"""Registration with the Auto classes: one line per family, every head by name."""

from dataclasses import dataclass
from types import ModuleType

from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING, TOKENIZER_MAPPING_NAMES

from .bert_gi import configuration_bert_gi, modeling_bert_gi
from .deberta_v2_gi import configuration_deberta_v2_gi, modeling_deberta_v2_gi
from .doors import make_door
from .llama_ina import configuration_llama_ina, modeling_llama_ina
from .roberta_gi import configuration_roberta_gi, modeling_roberta_gi


@dataclass(frozen=True)
class Family:
    """A model family: our config class, the module with our models, and how stock names become ours."""

    config: type[PreTrainedConfig]
    modeling: ModuleType
    stock_prefix: str
    prefix: str

    @property
    def stock_config(self) -> type[PreTrainedConfig]:
        """The stock config that ours extends: the last base of the class."""
        return self.config.__bases__[-1]

    @property
    def classes(self) -> dict[str, type]:
        """The public classes of the family by name: its config and every model."""
        return {self.config.__name__: self.config} | {
            name: getattr(self.modeling, name) for name in self.modeling.__all__
        }

    def ours(self, stock_name: str):
        """Our counterpart of a stock model class, e.g. `BertForMaskedLM` → `BertGIForMaskedLM`."""
        return getattr(self.modeling, self.prefix + stock_name.removeprefix(self.stock_prefix))


FAMILIES = (
    Family(configuration_bert_gi.BertGIConfig, modeling_bert_gi, "Bert", "BertGI"),
    Family(configuration_roberta_gi.RobertaGIConfig, modeling_roberta_gi, "Roberta", "RobertaGI"),
    Family(configuration_deberta_v2_gi.DebertaV2GIConfig, modeling_deberta_v2_gi, "DebertaV2", "DebertaV2GI"),
    Family(configuration_llama_ina.LlamaInAConfig, modeling_llama_ina, "Llama", "LlamaInA"),
)


def auto_classes() -> list[type]:
    """Every `AutoModel…` class of transformers that maps configs to models."""
    base = modeling_auto._BaseAutoModelClass
    return [
        value
        for value in vars(modeling_auto).values()
        if isinstance(value, type) and issubclass(value, base) and value._model_mapping is not None
    ]


def register(family: Family):
    """Registers config, tokenizer and every head of `family`, and the door for edited stock configs."""
    stock_type, model_type = family.stock_config.model_type, family.config.model_type
    AutoConfig.register(model_type, family.config)
    # types without an entry (llama) get the tokenizer that their files name
    if stock_type in TOKENIZER_MAPPING_NAMES:
        TOKENIZER_MAPPING_NAMES[model_type] = TOKENIZER_MAPPING_NAMES[stock_type]
        AutoTokenizer.register(family.config, TOKENIZER_MAPPING[family.stock_config])
    for auto_class in auto_classes():
        names = auto_class._model_mapping._model_mapping
        if stock_type not in names:
            continue
        stock = auto_class._model_mapping[family.stock_config]
        ours = family.ours(stock.__name__)
        names[model_type] = ours.__name__  # by name as well: there `Trainer` and `pipeline` look it up
        auto_class.register(family.config, ours)
        auto_class.register(family.stock_config, make_door(stock, ours), exist_ok=True)

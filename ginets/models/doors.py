"""Doors for edited stock configs: `model_type: "bert"` plus gate flags gives a `BertGI…` model.

An Auto class looks its model class up by the type of the config, and an edited stock config has a stock type. So a
thin stand-in is registered for the stock config: it hands a config with flags to our class and any other to the stock
class, untouched. No class of transformers is changed; what calls a stock class directly
(`BertForMaskedLM.from_pretrained(edited)`) gets that stock class, as it should.
"""

from transformers import PreTrainedConfig, PreTrainedModel

from .flags import FlagError, InhibitionFlags, is_flag


SWITCHES = ("gi_query_side", "gi_key_side", "ina_target_modules")


def written_flags(config: PreTrainedConfig, extra: dict) -> dict:
    """The gate flags written in a stock config, overridden by those among the keyword arguments `extra`."""
    return {name: value for source in (vars(config), extra) for name, value in source.items() if is_flag(name)}


def convert_config(config: PreTrainedConfig, config_class: type[InhibitionFlags], flags: dict) -> InhibitionFlags:
    """An edited stock config as `config_class`.

    Raises:
        FlagError: a flag is unknown or out of range, or none of them says where the mechanism sits.
    """
    fields = config.to_dict() | flags
    fields.pop("model_type", None)
    converted = config_class.from_dict(fields)  # refuses what is unknown or out of range
    converted._attn_implementation = config._attn_implementation  # `to_dict` drops it
    if not any(name in flags for name in SWITCHES):
        name, value = next(iter(flags.items()))
        known = [switch for switch in SWITCHES if switch in config_class.__dataclass_fields__]
        raise FlagError(
            name, value, f"only beside a flag that says where the mechanism sits ({', '.join(known)}); none is set"
        )
    return converted


# where a config is read from, as for the weights
HUB_OPTIONS = {"cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder"}


def make_door(stock: type[PreTrainedModel], ours: type[PreTrainedModel]) -> type[PreTrainedModel]:
    """The stand-in for `stock` in an Auto mapping: `ours` for configs with flags, `stock` for all others."""

    def choose(config, kwargs):
        flags = written_flags(config, kwargs)
        if not flags:
            return stock, config
        for name in flags.keys() & kwargs.keys():
            del kwargs[name]
        return ours, convert_config(config, ours.config_class, flags)

    def new(cls, config, *args, **kwargs):
        model_class, config = choose(config, kwargs)
        return model_class(config, *args, **kwargs)

    def from_pretrained(cls, pretrained_model_name_or_path, *args, config=None, **kwargs):
        if config is None:
            hub = {name: kwargs[name] for name in HUB_OPTIONS & kwargs.keys()}
            config = stock.config_class.from_pretrained(pretrained_model_name_or_path, **hub)
        model_class, config = choose(config, kwargs)
        return model_class.from_pretrained(pretrained_model_name_or_path, *args, config=config, **kwargs)

    def from_config(cls, config, **kwargs):
        model_class, config = choose(config, kwargs)
        return model_class._from_config(config, **kwargs)

    body = {
        "__doc__": make_door.__doc__,
        # transformers ignores a repository's own code (`auto_map`) for configs that a foreign module has registered;
        # the stock module's name keeps other people's stock-typed repositories working
        "__module__": stock.__module__,
        "__qualname__": stock.__qualname__,
        "__new__": new,
        "from_pretrained": classmethod(from_pretrained),
        "_from_config": classmethod(from_config),
    }
    return type(stock)(stock.__name__, (stock,), body)

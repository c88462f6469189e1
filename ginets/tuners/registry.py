"""How a method becomes a PEFT type.

PEFT has no plug-ins: `PeftType` is a closed enum and `register_peft_method` refuses names outside it. A member of our
own is added to the enum first; then PEFT's own registration runs, with all its checks. The type is named
`GINETS_<METHOD>`, so that a PEFT without this package says in its error whose adapter it is.
"""

from peft.utils.peft_types import PeftType, register_peft_method


def type_name(method: str) -> str:
    return f"GINETS_{method.upper()}"


def add_peft_type(method: str) -> PeftType:
    """The member `GINETS_<METHOD>` of `PeftType`, created if need be. It pickles, copies and compares like the others."""
    name = type_name(method)
    if name not in PeftType.__members__:
        member = str.__new__(PeftType, name)
        member._name_ = member._value_ = name
        PeftType._member_map_[name] = PeftType._value2member_map_[name] = member
        PeftType._member_names_.append(name)
        type.__setattr__(PeftType, name, member)
    return PeftType[name]


def register(method: str, config_cls: type, model_cls: type) -> None:
    """Make `config_cls` and `model_cls` the PEFT method `GINETS_<METHOD>`."""
    add_peft_type(method)
    register_peft_method(
        name=type_name(method).lower(), config_cls=config_cls, model_cls=model_cls, prefix=model_cls.prefix
    )

"""ginets: inhibition-style adaptation of Transformers.

Importing the package registers its model families with the Auto classes of transformers, and its adapters with PEFT
when PEFT is imported, before or later; nothing else happens. What needs PEFT is imported when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import models, peft_hook
from .models import *


if TYPE_CHECKING:
    from .tuners.aflora import AFLoraConfig
    from .tuners.aflora.callback import AFLoraCallback
    from .tuners.convert import convert_adapter
    from .tuners.fold import fold
    from .tuners.ina import InAConfig
    from .tuners.mtlora import MTLoraConfig
    from .tuners.sora import SoraConfig
    from .tuners.sora.callback import SoraCallback
    from .tuners.to_lora import to_lora


peft_hook.install()


__version__ = "0.1.0"

__all__ = ["__version__", *models.__all__]

# public name → module that has it; not in `__all__`, so that `import *` works without PEFT
ON_DEMAND = {
    "InAConfig": "tuners.ina",
    "MTLoraConfig": "tuners.mtlora",
    "AFLoraConfig": "tuners.aflora",
    "AFLoraCallback": "tuners.aflora.callback",
    "SoraCallback": "tuners.sora.callback",
    "SoraConfig": "tuners.sora",
    "fold": "tuners.fold",
    "to_lora": "tuners.to_lora",
    "convert_adapter": "tuners.convert",
}


def __getattr__(name: str):
    if name not in ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{ON_DEMAND[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *ON_DEMAND})

"""ginets: inhibition-style adaptation of Transformers.

Importing the package registers its model families with the Auto classes of transformers when transformers is imported,
and its adapters with PEFT when PEFT is imported, before or later; nothing else happens, so it takes no time. Names are
imported when they are asked for.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from . import peft_hook
from .after_import import after_import


if TYPE_CHECKING:
    from .models import *
    from .tuners.aflora import AFLoraConfig
    from .tuners.aflora.callback import AFLoraCallback
    from .tuners.convert import convert_adapter
    from .tuners.fold import fold
    from .tuners.ina import InAConfig
    from .tuners.mtlora import MTLoraConfig
    from .tuners.sora import SoraConfig
    from .tuners.sora.callback import SoraCallback
    from .tuners.to_lora import to_lora


__version__ = "0.1.0"

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


def models_module():
    """`ginets.models`; importing it registers the families."""
    return import_module(".models", __name__)


def __getattr__(name: str):
    if name == "__all__":
        return ["__version__", *models_module().__all__]
    if name in ON_DEMAND:
        return getattr(import_module(f".{ON_DEMAND[name]}", __name__), name)
    if not name.startswith("__"):
        if find_spec(f"{__name__}.{name}"):
            return import_module(f".{name}", __name__)
        if name in models_module().__all__:
            return getattr(models_module(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *ON_DEMAND, *models_module().__all__})


after_import("transformers", models_module)
peft_hook.install()

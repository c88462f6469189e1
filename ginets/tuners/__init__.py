"""The adapters as PEFT methods. Importing this package registers them; `ginets.peft_hook` does so with PEFT itself."""

# ruff: noqa: E402 — the error that names the extra comes before anything that needs it

from importlib import import_module

from ..extras import require
from ..peft_hook import check_version


check_version(require("peft", extra="adapters").__version__)

from .aflora import AFLoraConfig, AFLoraModel, FreezeController
from .ina import InAConfig, InAModel
from .lowrank import LowRankConfig, LowRankLayer, LowRankModel, NotMergeableError
from .mtlora import MTLoraConfig, MTLoraModel
from .sora import SoraConfig, SoraModel, train_gates
from .targets import add_gated_types
from .to_lora import to_lora


add_gated_types()

__all__ = [
    "AFLoraCallback",
    "AFLoraConfig",
    "AFLoraModel",
    "FreezeController",
    "InAConfig",
    "InAModel",
    "LowRankConfig",
    "LowRankLayer",
    "LowRankModel",
    "MTLoraConfig",
    "MTLoraModel",
    "NotMergeableError",
    "SoraCallback",
    "SoraConfig",
    "SoraModel",
    "to_lora",
    "train_gates",
]

# on demand: transformers imports PEFT in the middle of importing its Trainer, which these need
CALLBACKS = {"AFLoraCallback": ".aflora.callback", "SoraCallback": ".sora.callback"}


def __getattr__(name: str):
    if name not in CALLBACKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(CALLBACKS[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *CALLBACKS})

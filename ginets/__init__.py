"""ginets: inhibition-style adaptation of Transformers.

Importing the package registers its model families with the Auto classes of transformers, and its adapters with PEFT
when PEFT is imported, before or later; nothing else happens.
"""

from . import models, peft_hook
from .models import *


peft_hook.install()


__version__ = "0.1.0"

__all__ = ["__version__", *models.__all__]

"""ginets: inhibition-style adaptation of Transformers.

Importing the package registers its model families with the Auto classes of transformers; nothing else happens.
"""

from . import models
from .models import *


__version__ = "0.1.0"

__all__ = ["__version__", *models.__all__]

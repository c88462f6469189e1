"""DeBERTa-v2 and v3 with gated inhibition."""

from .configuration_deberta_v2_gi import *
from .modeling_deberta_v2_gi import *

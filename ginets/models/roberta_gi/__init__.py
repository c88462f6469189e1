"""RoBERTa with gated inhibition."""

from .configuration_roberta_gi import *
from .modeling_roberta_gi import *

"""Llama with inhibited low-rank branches."""

from .configuration_llama_ina import *
from .modeling_llama_ina import *

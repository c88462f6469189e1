"""BERT with gated inhibition."""

from .configuration_bert_gi import *
from .modeling_bert_gi import *

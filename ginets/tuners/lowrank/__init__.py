"""What all methods of this package share: a frozen layer plus a low-rank branch with something between A and B."""

from .config import LowRankConfig
from .layer import LowRankLayer, NotMergeableError
from .model import LowRankModel

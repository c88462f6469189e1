"""AFLoRA: VeRA's two vectors around A and B of each layer's own, which train first and are frozen one by one."""

from ..registry import register
from .config import AFLoraConfig
from .controller import FreezeController
from .layer import AFLoraEmbedding, AFLoraLinear
from .model import AFLoraModel
from .schedule import FreezeSchedule


register("aflora", AFLoraConfig, AFLoraModel)

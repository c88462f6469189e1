"""InA: configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..lowrank.config import LowRankConfig, is_number, option


ACTIVATIONS = ("leaky_relu", "gelu", "none")


@dataclass
class InAConfig(LowRankConfig):
    """`y = W x + (α/r) · B · leaky_relu(h − p·max_r h)`, `h = A · dropout(x)`, the maximum over the ranks of a token.

    Source: InA, Neural Networks 178:106410. With `inhibition_level=0` this is LoRA, bit for bit.

    Raises:
        ValueError: a field is out of range; the message names the field, its value and what is allowed.
    """

    method: ClassVar[str] = "ina"
    alpha_field: ClassVar[str] = "ina_alpha"
    dropout_field: ClassVar[str] = "ina_dropout"

    ina_alpha: float = option(16, "α: the branch is scaled by α/r.")
    ina_dropout: float = option(0.0, "Dropout on the input of the branch.")
    inhibition_level: float = option(0.3, "p, the share of a token's strongest rank that is subtracted; 0 <= p < 1.")
    detach_threshold: bool = option(
        False, "Treat the threshold p·max as a constant in the backward pass: the strongest rank keeps its gradient."
    )
    rescale: bool = option(
        False, "Divide by 1 − p, which gives the strongest rank its full size back: without it the branch shrinks."
    )
    activation: Literal["leaky_relu", "gelu", "none"] = option(
        "leaky_relu", "What follows the threshold: `leaky_relu` as in the code, `gelu` as in the paper's text, `none`."
    )

    def __post_init__(self):
        super().__post_init__()
        level = self.inhibition_level
        self.check("inhibition_level", is_number(level) and 0 <= level < 1, "0 <= p < 1")
        for name in ("detach_threshold", "rescale"):
            self.check(name, isinstance(getattr(self, name), bool), "true or false")
        self.check("activation", self.activation in ACTIVATIONS, ", ".join(ACTIVATIONS))

"""SoRA: configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..lowrank.config import LowRankConfig, is_number, option


GATES = ("ones", "normal")


@dataclass
class SoraConfig(LowRankConfig):
    """`y = W x + (α/r) · B (g ⊙ A · dropout(x))` with a gate g of r values that an ℓ1 penalty sets to zero one by one.

    Source: arXiv 2311.11696. The gates are trained by `SoraCallback` (with a Trainer) or `train_gates` (in a loop of
    your own); the optimizer of A and B never touches them. With g = 1, where they start, this is LoRA.

    Raises:
        ValueError: a field is out of range; the message names the field, its value and what is allowed.
    """

    method: ClassVar[str] = "sora"

    lora_alpha: float = option(16, "α: the branch is scaled by α/r; pruning keeps the factor.")
    lora_dropout: float = option(0.0, "Dropout on the input of the branch.")
    sparse_lambda: float = option(
        3e-4, "λ of the penalty λ·|g|: a gate goes to zero if a unit of it lowers the loss by less than λ."
    )
    lambda_warmup: int = option(0, "Optimizer steps over which λ rises linearly to its value.")
    gate_lr: float | None = option(
        1.0,
        "Learning rate η of the gates; it follows the optimizer's schedule. A step takes at most ηλ off a gate, so from "
        "1 to 0 it is a way of 1/(ηλ) steps. None: that of the optimizer's group, for A and B usually far too small.",
    )
    init_gate: Literal["ones", "normal"] = option(
        "ones", "Gates at the start: `ones`, which is LoRA, or `normal`, N(0, 1) as in the public code."
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("sparse_lambda", "lambda_warmup"):
            value = getattr(self, name)
            self.check(name, is_number(value) and value >= 0, "a number of at least 0")
        self.check(
            "gate_lr", self.gate_lr is None or (is_number(self.gate_lr) and self.gate_lr > 0), "a number above 0"
        )
        self.check("init_gate", self.init_gate in GATES, ", ".join(GATES))

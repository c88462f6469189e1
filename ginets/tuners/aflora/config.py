"""AFLoRA: configuration."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from ..lowrank.config import LowRankConfig, are, is_name, is_number, is_whole, option
from .schedule import SHAPES
from .scores import RULES


INITS = ("kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal")


@dataclass
class AFLoraConfig(LowRankConfig):
    """`y = W x + s · b ⊙ B (d ⊙ A · dropout(x))`: d (r values) and b (one per output) always train, A and B until frozen.

    Source: arXiv 2403.13269. `AFLoraCallback` (with a Trainer) or `FreezeController` (in a loop of your own) freezes A
    and B of each module one matrix at a time; without one of them nothing is frozen. s is 1, or α/r if `aflora_alpha`
    is given.

    Raises:
        ValueError: a field is out of range; the message names the field, its value and what is allowed.
    """

    method: ClassVar[str] = "aflora"
    alpha_field: ClassVar[str] = "aflora_alpha"
    alpha_optional: ClassVar[bool] = True
    dropout_field: ClassVar[str] = "aflora_dropout"

    init_weights: bool = option(
        True, "Start with b = b_init, so that at 0 the adapted model is the base model; no: b is random (for tests)."
    )
    aflora_alpha: float | None = option(
        None, "α: the branch is scaled by α/r. Default: no scaling, as published on GLUE."
    )
    aflora_dropout: float = option(0.0, "Dropout on the input of the branch.")
    d_init: float = option(0.1, "Every value of d at the start.")
    b_init: float = option(0.0, "Every value of b at the start; with 0 the adapted model starts as the base model.")
    projection_init: Literal["kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"] = option(
        "kaiming_uniform", "How A and B are drawn (gain of a linear-rectified unit: U(±√(6/fan_in)) by default)."
    )
    freeze_from_start: list[str] | str | None = option(
        None,
        "Modules whose A and B never train: ends of names, `square` (as many outputs as inputs; published on GLUE) or "
        "`all` (VeRA with A and B of each layer's own).",
    )
    freeze_start: float = option(0.05, "Share of the training in which A and B all train (GLUE: 1 of 20 epochs).")
    freeze_end: float = option(0.3, "Share of the training after which all are frozen (GLUE: 6 of 20 epochs).")
    freeze_schedule: Literal["cubic", "quadratic"] = option(
        "cubic", "Share still trainable in between, x from 0 to 1: `cubic` (1 − x)³, `quadratic` 1 − x² (GSM8K)."
    )
    freeze_window: int = option(
        10, "Steps over which gradients are averaged, and between two checks; fewer in a run of few steps."
    )
    freeze_rule: Literal["matrix", "original"] = option(
        "matrix",
        "`matrix`: at each check the matrices of lowest mean score are frozen until the schedule's number is reached. "
        "`original`: those whose mean is below a quantile of all elements, as published; it freezes earlier.",
    )
    freeze_beta1: float = option(0.85, "Weight of the past in the average of the sensitivity |gradient|.")
    freeze_beta2: float = option(0.95, "Weight of the past in the average of the uncertainty.")

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.freeze_from_start, str):
            self.freeze_from_start = [self.freeze_from_start]
        names = self.freeze_from_start
        self.check(
            "freeze_from_start", names is None or (are(is_name, names) and all(names)), "names, `square` or `all`"
        )
        self.check(
            "use_rslora", not self.use_rslora or self.alpha is not None, "false where aflora_alpha is not given"
        )
        for name in ("d_init", "b_init"):
            self.check(name, is_number(getattr(self, name)), "a number")
        for name, words in (("projection_init", INITS), ("freeze_schedule", SHAPES), ("freeze_rule", RULES)):
            self.check(name, getattr(self, name) in words, ", ".join(words))
        start, end = self.freeze_start, self.freeze_end
        self.check("freeze_end", is_number(end) and 0 <= end <= 1, "a share of the training, 0 <= freeze_end <= 1")
        self.check("freeze_start", is_number(start) and 0 <= start <= end, "0 <= freeze_start <= freeze_end")
        self.check("freeze_window", is_whole(self.freeze_window) and self.freeze_window >= 1, "a whole number >= 1")
        for name in ("freeze_beta1", "freeze_beta2"):
            value = getattr(self, name)
            self.check(name, is_number(value) and 0 <= value < 1, f"0 <= {name} < 1")

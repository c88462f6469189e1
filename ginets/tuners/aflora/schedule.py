"""AFLoRA: which share of A and B still trains at which step."""

import math
from collections.abc import Callable
from dataclasses import dataclass


# share ρ still trainable, x from 0 (end of the warm-up) to 1 (start of the tail)
SHAPES: dict[str, Callable[[float], float]] = {
    "cubic": lambda x: (1 - x) ** 3,
    "quadratic": lambda x: 1 - x**2,
}
LEAST_CHECKS = 10


@dataclass(frozen=True)
class FreezeSchedule:
    """Three phases of a training of `total_steps` steps t = 0, 1, ...

    Up to `start · total_steps` everything trains; then ρ falls from 1 to 0, looked at every `window` steps; beyond
    `end · total_steps` nothing but d and b trains. All is in shares of the training, so no length of run can make the
    phases overlap. A run whose middle phase is short has shorter windows, so that it still has ten checks (as many as
    it has steps if it has fewer); otherwise all would be frozen at once.
    """

    total_steps: int
    start: float = 0.05
    end: float = 0.3
    window: int = 10
    shape: str = "cubic"

    def __post_init__(self):
        if self.total_steps < 1:
            raise ValueError(
                f"total_steps is {self.total_steps}; allowed: the number of steps of the training, from 1."
            )
        middle = self.tail_start - self.warmup_end
        # frozen: through object, once
        object.__setattr__(self, "window", max(1, min(self.window, middle // LEAST_CHECKS)))

    @property
    def warmup_end(self) -> int:
        """The last step of the warm-up."""
        return self.steps_in(self.start)

    @property
    def tail_start(self) -> int:
        """The last step of the middle phase."""
        return self.steps_in(self.end)

    def steps_in(self, share: float) -> int:
        # the small number keeps 0.29 · 100 = 28.999999999999996 a 29
        return math.floor(share * self.total_steps + 1e-9)

    def keep_ratio(self, step: int) -> float:
        """ρ, the share of the matrices that trains on after step `step`."""
        if step <= self.warmup_end:
            return 1.0
        if step > self.tail_start:
            return 0.0
        return SHAPES[self.shape]((step - self.warmup_end) / (self.tail_start - self.warmup_end))

    def is_check(self, step: int) -> bool:
        """Whether matrices may be frozen after step `step`."""
        return step > self.tail_start or (step > self.warmup_end and step % self.window == 0)

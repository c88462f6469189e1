"""AFLoRA: the freezing score of a matrix, and which matrices are frozen by it.

    Ī ← β₁ Ī + (1 − β₁) I,    Ū ← β₂ Ū + (1 − β₂) |I − Ī|,    S = Ī ⊙ Ū

element by element, where I is the mean of |gradient| over a window of steps. (The published code writes
|sign(p)·gradient|, which is the same.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch


@dataclass
class MatrixState:
    """What is known of one A or B.

    Attributes:
        window: I, mean of |gradient| over the current window so far.
        mean, spread: Ī and Ū.
        seen: how many gradients are in `window`.
        frozen_at: after how many steps of training it was frozen; None: it trains. A frozen matrix has no scores.
    """

    window: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    seen: int = 0
    frozen_at: int | None = None

    @classmethod
    def fresh(cls, weight: torch.Tensor) -> "MatrixState":
        """Before the first gradient; float32 whatever the weight is."""
        return cls(*(zeros_for(weight) for _ in range(3)))

    def to(self, device: torch.device) -> None:
        """Move the scores of what trains to the device of the matrix."""
        self.window, self.mean, self.spread = (each.to(device) for each in (self.window, self.mean, self.spread))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All of it as tensors, for a checkpoint. Nothing for what the config freezes from the start."""
        if self.frozen_at is not None:
            return {"frozen_at": torch.tensor(self.frozen_at)} if self.frozen_at else {}
        tensors = {"window": self.window, "mean": self.mean, "spread": self.spread}
        return tensors | {"seen": torch.tensor(self.seen)} if self.window is not None else {}

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> "MatrixState":
        return cls(**{name: int(t) if name in ("seen", "frozen_at") else t for name, t in tensors.items()})


def zeros_for(weight: torch.Tensor) -> torch.Tensor:
    """float32 zeros of the size of a weight; of the whole one, if this process holds a part of it."""
    return torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)


@torch.no_grad()
def observe(
    states: Sequence[MatrixState], grads: Sequence[torch.Tensor], window: int, beta1: float, beta2: float
) -> None:
    """Take the gradients of one step into the scores. All states have seen the same number of steps."""
    grads = torch._foreach_abs([grad.float() for grad in grads])
    windows, means, spreads = ([getattr(s, name) for s in states] for name in ("window", "mean", "spread"))
    seen = states[0].seen
    if seen >= window:
        torch._foreach_lerp_(means, windows, 1 - beta1)
        distances = torch._foreach_abs(torch._foreach_sub(windows, means))
        torch._foreach_lerp_(spreads, distances, 1 - beta2)
        seen = 0
    torch._foreach_lerp_(windows, grads, 1 / (seen + 1))  # the running mean
    for state in states:
        state.seen = seen + 1


def score(state: MatrixState) -> torch.Tensor:
    """S, of the matrix's shape."""
    return state.mean * state.spread


def by_matrix(scores: Sequence[torch.Tensor], keep_ratio: float, pool: int) -> list[int]:
    """The matrices of lowest mean, as many as it takes that ⌊(1 − ρ)·pool⌋ of the pool are frozen."""
    # the small number keeps 2.9999999 a 3
    more = math.floor((1 - keep_ratio) * pool + 1e-9) - (pool - len(scores))
    means = means_of(scores)
    return sorted(range(len(scores)), key=lambda index: (means[index], index))[: max(0, more)]


def by_element(scores: Sequence[torch.Tensor], keep_ratio: float, pool: int) -> list[int]:
    """Those whose mean is below the ⌊(1 − ρ)·N⌋-th smallest of the N elements that still train.

    Two holes of the published rule are closed: a 0-th smallest element, below which nothing is, and scores that are
    all the same at the end, which would never be frozen.
    """
    if keep_ratio == 0:
        return list(range(len(scores)))
    elements = torch.cat([each.flatten().to(scores[0].device) for each in scores])
    index = int(len(elements) * (1 - keep_ratio))
    if not index:
        return []
    threshold = float(elements.kthvalue(index).values)
    return [number for number, mean in enumerate(means_of(scores)) if mean < threshold]


def means_of(scores: Sequence[torch.Tensor]) -> list[float]:
    """The mean of each; one transfer from the device for all."""
    return torch.stack([each.mean().to(scores[0].device) for each in scores]).tolist()


# scores of what still trains, ρ, size of the initial pool → indices of what is frozen now
RULES: dict[str, Callable[[Sequence[torch.Tensor], float, int], list[int]]] = {
    "matrix": by_matrix,
    "original": by_element,
}

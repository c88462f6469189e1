"""AFLoRA: freezing A and B during a training, in any loop."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from .config import AFLoraConfig
from .layer import MATRICES, AFLoraLayer
from .model import layers_with
from .schedule import FreezeSchedule
from .scores import RULES, MatrixState, observe, score, zeros_for


@dataclass(eq=False)
class Matrix:
    """One A or B of a model.

    Attributes:
        module: name of the adapted module in the base model.
        name: `A` or `B`.
        weight: the parameter.
        state: its scores; or, once it is frozen, since when.
    """

    module: str
    name: str
    layer: AFLoraLayer
    adapter: str
    weight: nn.Parameter
    state: MatrixState

    def freeze(self, step: int) -> None:
        self.state = self.layer.freeze(self.adapter, self.name, step)


class FreezeController:
    """Scores A and B of an AFLoRA adapter by their gradients and freezes them by the schedule of its config.

        controller = FreezeController(model, total_steps)
        for step in range(total_steps):
            ...                          # forward, backward, clipping as you like
            optimizer.step()
            controller.step(step, optimizer)
            optimizer.zero_grad()
        controller.finish()

    It looks at the gradients that the optimizer used: accumulated, averaged over processes, unscaled, and clipped if
    you clip. Skip the call for a step that a gradient scaler skipped. A model under `fully_shard` (FSDP2) is sharded
    first; then every process calls `step`.

    Args:
        model: holds the adapter, at any depth.
        total_steps: optimizer steps of the whole training.
        first_step: 0, or how many steps are done if the training is resumed from a checkpoint. At 0, whatever trains
            now is scored afresh; above, what was frozen in the checkpoint is frozen again.
        adapter: which adapter. Default: the active one.

    Raises:
        ValueError: no such adapter or several active ones, or the checkpoint holds no state of the freezing.
    """

    def __init__(self, model: nn.Module, total_steps: int, first_step: int = 0, adapter: str | None = None):
        self.adapter = adapter or the_active(model)
        layers = layers_with(model, self.adapter)
        self.layers = {name.removeprefix("base_model.model."): layer for name, layer in layers.items()}
        if not self.layers:
            raise ValueError(f"the model has no AFLoRA adapter {self.adapter!r}.")
        self.config: AFLoraConfig = next(iter(self.layers.values())).configs[self.adapter]
        self.schedule = FreezeSchedule(
            total_steps,
            self.config.freeze_start,
            self.config.freeze_end,
            self.config.freeze_window,
            self.config.freeze_schedule,
        )
        self.steps = first_step
        self.pool = self.resume() if first_step else self.begin()

    def begin(self) -> list[Matrix]:
        """All that trains now, with new scores."""
        pool = []
        for module, layer in self.layers.items():
            for name in MATRICES:
                weight = layer.weight_of(name, self.adapter)
                if weight.requires_grad:
                    state = layer.matrices[self.adapter][name] = MatrixState.fresh(weight)
                    pool.append(Matrix(module, name, layer, self.adapter, weight, state))
        return pool

    def resume(self) -> list[Matrix]:
        """All that trained at the start, as the checkpoint left it."""
        pool = []
        for module, layer in self.layers.items():
            for name in MATRICES:
                state = layer.matrices[self.adapter].get(name)
                if state is None:
                    raise ValueError(
                        f"the training is resumed after step {self.steps}, but the checkpoint holds no freezing state "
                        f"for {name} of {module}: it was written without AFLoraCallback, or after the training."
                    )
                matrix = Matrix(module, name, layer, self.adapter, layer.weight_of(name, self.adapter), state)
                if state.frozen_at != 0:
                    pool.append(matrix)
                if state.frozen_at is None:
                    state.to(matrix.weight.device)
                elif state.frozen_at:
                    matrix.freeze(state.frozen_at)
        return pool

    def trainable(self) -> list[Matrix]:
        return [matrix for matrix in self.pool if matrix.state.frozen_at is None]

    @torch.no_grad()
    def step(self, step: int, optimizer: Optimizer | None = None) -> list[Matrix]:
        """Score the gradients of step `step` (from 0) and freeze what the schedule says.

        Call it between `optimizer.step()` and `zero_grad()`, once for each optimizer step. What is frozen now has taken
        this step and never changes again.

        Args:
            optimizer: if given, it forgets its momenta of what is frozen, which are of no use any more.

        Returns:
            What was frozen now.
        """
        self.steps = step + 1
        trains = self.trainable()
        if not trains:
            return []
        window, config = self.schedule.window, self.config
        observe([m.state for m in trains], gradients(trains), window, config.freeze_beta1, config.freeze_beta2)
        if not self.schedule.is_check(step):
            return []
        scores = [score(matrix.state) for matrix in trains]
        chosen = RULES[config.freeze_rule](scores, self.schedule.keep_ratio(step), len(self.pool))
        for index in chosen:
            trains[index].freeze(self.steps)
            if optimizer is not None:
                optimizer.state.pop(trains[index].weight, None)
        return [trains[index] for index in chosen]

    def finish(self) -> None:
        """The training is over: what was frozen stays so, and from now on the saved adapter holds weights only."""
        for matrix in self.pool:
            if matrix.state.frozen_at is not None:
                matrix.freeze(matrix.state.frozen_at)  # again: loading the best checkpoint has undone it
            else:
                matrix.state = MatrixState()
            matrix.layer.matrices[self.adapter].pop(matrix.name, None)

    # ------------------------------------------------------------------ what happened

    def frozen(self) -> dict[tuple[str, str], int]:
        """(module, `A` or `B`) → steps it was trained for, in the order of freezing; without what never trained."""
        frozen = {(m.module, m.name): m.state.frozen_at for m in self.pool if m.state.frozen_at is not None}
        return dict(sorted(frozen.items(), key=lambda item: item[1]))

    def trainable_parameters(self) -> int:
        """Numbers of the adapter that train now: d and b, and what of A and B is not frozen. No classifier."""
        return self.vectors() + sum(matrix.weight.numel() for matrix in self.trainable())

    def average_trainable_parameters(self) -> float:
        """Mean of `trainable_parameters` over the steps done so far: the "#params" of the paper's tables."""
        if not self.steps:
            return float(self.trainable_parameters())
        trained = [(m, self.steps if m.state.frozen_at is None else m.state.frozen_at) for m in self.pool]
        return self.vectors() + sum(m.weight.numel() * steps for m, steps in trained) / self.steps

    def vectors(self) -> int:
        return sum(layer.weight_of(name, self.adapter).numel() for layer in self.layers.values() for name in "db")


def the_active(model: nn.Module) -> str:
    """The one AFLoRA adapter that is active."""
    layers = [module for module in model.modules() if isinstance(module, AFLoraLayer)]
    active = sorted({adapter for layer in layers for adapter in layer.adapters_here()})
    if len(active) != 1:
        raise ValueError(
            f"freezing takes a model with one active AFLoRA adapter; active are {', '.join(active) or 'none'}."
        )
    return active[0]


def gradients(matrices: Sequence[Matrix]) -> list[torch.Tensor]:
    """Their gradients; zero for a matrix that the step did not use.

    Of sharded ones (FSDP2) the whole, in every process: all of them score, freeze and save the same, and the scores fit
    a model that is sharded in another way, or not at all.
    """
    weights = [matrix.weight for matrix in matrices]
    if all(weight.grad is None for weight in weights):
        raise ValueError(
            "no A or B has a gradient: step() is called after the backward pass and before zero_grad(), and with an "
            "optimizer that leaves the gradients in place."
        )
    return [zeros_for(weight) if weight.grad is None else whole(weight.grad) for weight in weights]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

"""AFLoRA: freezing with a `Trainer`."""

import csv
from collections.abc import Mapping
from pathlib import Path

from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from transformers import TrainerCallback, TrainingArguments

from .controller import FreezeController


COLUMNS = ("step", "module", "matrix")


class AFLoraCallback(TrainerCallback):
    """Freezes A and B of an AFLoRA adapter: `Trainer(..., callbacks=[AFLoraCallback()])`.

    Gradients are scored once per optimizer step, as the optimizer used them: accumulated, averaged over processes,
    unscaled and clipped (to score them unclipped, train with `max_grad_norm=0`). Steps that mixed precision skips do
    not count. Checkpoints hold scores and frozen set, so a resumed training continues exactly; the adapter saved
    after the training does not.

    `output_dir` gets a log, one line per frozen matrix: how many steps it was trained for, its module, `A` or `B`. At
    the end of the training the state's `log_history` gets `average_trainable_parameters`, see `FreezeController`.

    Args:
        log_file: name of the log; None: no log.
    """

    def __init__(self, log_file: str | None = "freeze_log.csv"):
        self.log_file = log_file
        self.controller: FreezeController | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        check_arguments(args, model)
        self.controller = FreezeController(model, state.max_steps, state.global_step)
        self.write_log(args, state)

    def on_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        if getattr(optimizer, "step_was_skipped", False):
            return
        if self.controller.step(state.global_step, optimizer):
            self.write_log(args, state)

    def on_train_end(self, args, state, control, **kwargs):
        figures = {
            "average_trainable_parameters": round(self.controller.average_trainable_parameters()),
            "trainable_parameters": self.controller.trainable_parameters(),
        }
        state.log_history.append({**figures, "epoch": state.epoch, "step": state.global_step})
        self.controller.finish()

    def write_log(self, args, state) -> None:
        """The whole log each time: a resumed training has the lines up to its checkpoint, and none twice."""
        if self.log_file and state.is_world_process_zero:
            write_freeze_log(Path(args.output_dir, self.log_file), self.controller.frozen())


def write_freeze_log(path: Path, frozen: Mapping[tuple[str, str], int]) -> None:
    """CSV with the columns step, module, matrix, from what `FreezeController.frozen` returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((step, *matrix) for matrix, step in frozen.items())


def check_arguments(args: TrainingArguments, model: nn.Module | None = None) -> None:
    """Refuse what freezing cannot work with, before the first step.

    Args:
        model: as it is trained; what `accelerate launch` shards is not in the arguments.
    """
    if getattr(args, "deepspeed_plugin", None) or getattr(args, "deepspeed", None):
        raise ValueError(
            "AFLoraCallback needs the gradients that the optimizer used; deepspeed keeps them to itself. Train with "
            "FSDP2 or without sharding."
        )
    if any(isinstance(module, FullyShardedDataParallel) for module in (model.modules() if model else ())):
        raise ValueError(
            "AFLoraCallback needs parameters that can be frozen one by one; FSDP1 puts many in one. Train with FSDP2 "
            "(fsdp_version: 2)."
        )
    if args.world_size > 1 and (args.ddp_find_unused_parameters is False or args.ddp_static_graph):
        raise ValueError(
            "A and B are frozen during the training, so data parallel training must look for unused parameters: leave "
            "ddp_find_unused_parameters and ddp_static_graph at their defaults."
        )

"""How long a training step of each method takes, measured in turn: load on the machine hits all of them alike."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..recipes.commands import COMMANDS
from ..recipes.heads import CLASSIFICATION, load_config
from ..recipes.model import make_model
from .definition import Leaderboard


STEPS = 1000  # of the run that schedules are made for


def model_of(board: Leaderboard, method: str):
    """A method's model, a classifier of two classes in training mode, and the arguments of its training."""
    name = board.tuning_task
    cell = next(
        cell for cell in board.task(Path("none"), name, dict.fromkeys(board.methods, 1e-4)).cells
        if cell.variant["method"] == method
    )  # fmt: skip
    arguments = COMMANDS[cell.command].parse_all(["--output_dir", "none", *cell.words()])
    model_args, adapter_args, gate_args, _, training_args = arguments
    config = load_config(model_args, gate_args)
    config.num_labels = 2
    model = make_model(model_args, adapter_args, config, CLASSIFICATION, None, STEPS, seed=0).train()
    return model, training_args


def step_of(board: Leaderboard, method: str, length: int) -> Callable[[], None]:
    """A training step of a method: forward, backward and optimizer on a batch of random tokens, classified in two.

    What a callback does between steps (AFLoRA's freezing, SoRA's gates) is not part of it.

    Args:
        length: tokens of each text.
    """
    model, training_args = model_of(board, method)
    device = training_args.device
    model.to(device)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    generator = torch.Generator().manual_seed(0)
    shape = (training_args.per_device_train_batch_size, length)
    batch = {
        "input_ids": torch.randint(model.config.vocab_size, shape, generator=generator).to(device),
        "attention_mask": torch.ones(shape, dtype=torch.long, device=device),
        "labels": torch.randint(2, shape[:1], generator=generator).to(device),
    }

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=training_args.bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def measure(board: Leaderboard, rounds: int = 15, length: int = 64) -> dict[str, dict[str, float]]:
    """Method → `step_s`, the median of its steps, and `step_ratio`, that of its ratios to the first baseline's.

    Processor time on a CPU, to be measured with one thread; the clock's on a GPU.
    """
    steps = {method: step_of(board, method, length) for method in board.methods}
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    times: dict[str, list[float]] = {method: [] for method in steps}
    for number in range(rounds + 1):
        for method, step in steps.items():
            started = clock()
            step()
            if number:  # the first round warms up
                times[method].append(clock() - started)
    base = times[board.baselines[0]]
    return {
        method: {
            "step_s": round(statistics.median(own), 4),
            "step_ratio": round(statistics.median(a / b for a, b in zip(own, base, strict=True)), 4),
        }
        for method, own in times.items()
    }

"""How long a training step of each method takes, measured in turn: load on the machine hits all of them alike."""

import statistics
import time
from collections.abc import Callable

import torch
from transformers import TrainingArguments

from .definition import Leaderboard
from .models import model_of


def step_of(model, training_args: TrainingArguments, length: int) -> Callable[[], None]:
    """A training step of a model: forward, backward and optimizer on a batch of random tokens, classified in two.

    What is done between steps (AFLoRA's freezing, AdaLoRA's choice of ranks, SoRA's gates) is not part of it.

    Args:
        length: tokens of each text.
    """
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

    dtype = torch.float16 if training_args.fp16 else torch.bfloat16

    def step() -> None:
        with torch.autocast(device.type, dtype, enabled=training_args.fp16 or training_args.bf16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def measure(board: Leaderboard, rounds: int = 15, length: int = 64) -> dict[str, dict[str, float]]:
    """Method → `step_s`, the median of its steps, and `step_ratio`, that of its ratios to the first baseline's.

    A step of the method and one of the baseline take turns; these two models are held and no others. The baseline takes
    turns with itself: how far its ratio is from 1 is noise. Processor time on a CPU, to be measured with one thread; the
    clock's on a GPU.
    """
    baseline = board.baselines[0]
    model, training_args = model_of(board, baseline)
    base = step_of(model, training_args, length)
    clock = time.process_time if training_args.device.type == "cpu" else time.perf_counter
    figures = {}
    for method in board.methods:
        # no name for the step: it would hold the model until the next one is made
        pairs = take_turns(
            base if method == baseline else step_of(*model_of(board, method), length), base, clock, rounds
        )
        figures[method] = {
            "step_s": round(statistics.median(seconds for seconds, _ in pairs), 4),
            "step_ratio": round(statistics.median(seconds / of_base for seconds, of_base in pairs), 4),
        }
    return figures


def take_turns(
    own: Callable[[], None], base: Callable[[], None], clock: Callable[[], float], rounds: int
) -> list[tuple[float, float]]:
    """Seconds of both, round by round; a first round, which warms up, is left out."""
    pairs = []
    for _ in range(rounds + 1):
        times = []
        for step in (own, base):
            started = clock()
            step()
            times.append(clock() - started)
        pairs.append(tuple(times))
    return pairs[1:]

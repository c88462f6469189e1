"""Prompts of similar length together, padded on the left."""

from collections.abc import Sequence

import torch


BATCH_TOKENS = 16384


def plan(
    lengths: Sequence[int],
    new_tokens: int,
    num_beams: int = 1,
    batch_size: int | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[list[int]]:
    """Which prompts go together, by number; the longest first, so that what does not fit into memory shows at once.

    Args:
        lengths: of the prompts, in tokens.
        new_tokens: that are written to each at most.
        batch_size: at most so many prompts.
        batch_tokens: at most so many tokens, padding, beams and written ones included; one prompt is always taken.
    """
    for name, value in (("batch_size", batch_size), ("batch_tokens", batch_tokens)):
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    batches: list[list[int]] = []
    room = 0
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        if not room:
            batches.append([])
            room = max(1, batch_tokens // (num_beams * (lengths[number] + new_tokens)))
            room = min(room, batch_size or room)
        batches[-1].append(number)
        room -= 1
    return batches


def left_padded(prompts: Sequence[Sequence[int]], pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask`, `(prompts, longest)`; what is written follows each prompt without a gap."""
    longest = max(map(len, prompts))
    padding = [longest - len(ids) for ids in prompts]
    return {
        "input_ids": torch.tensor([[pad_id] * n + list(ids) for n, ids in zip(padding, prompts, strict=True)]),
        "attention_mask": torch.tensor([[0] * n + [1] * (longest - n) for n in padding]),
    }

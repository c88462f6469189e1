"""DeBERTa's relative attention terms, one pair of positions at a time."""

import math

import torch


def bucket(offset: int, buckets: int, max_position: int) -> int:
    """Bucket of an offset: itself up to half the buckets away, then logarithmic, with the sign of the offset."""
    middle = buckets // 2
    if buckets <= 0 or abs(offset) <= middle:
        return offset
    growth = math.log(abs(offset) / middle) / math.log((max_position - 1) / middle)
    # The tolerance keeps exact multiples (the last distance) from being rounded up.
    return int(math.copysign(math.ceil(growth * (middle - 1) - 1e-6) + middle, offset))


def table_row(offset: int, span: int, buckets: int, max_position: int) -> int:
    """Row of the relative embedding table for an offset."""
    return min(max(bucket(offset, buckets, max_position) + span, 0), 2 * span - 1)


def disentangled_bias(
    query: torch.Tensor, key: torch.Tensor, pos_key: torch.Tensor | None, pos_query: torch.Tensor | None
) -> torch.Tensor:
    """`bias[b, h, i, j] = query_i · pos_key[i - j] + key_j · pos_query[i - j]`, tables ascending by offset."""
    lowest = key.shape[2] - 1
    rows = []
    for i in range(query.shape[2]):
        row = []
        for j in range(key.shape[2]):
            score = torch.zeros_like(query[:, :, 0, 0])
            if pos_key is not None:
                score = score + (query[:, :, i] * pos_key[:, i - j + lowest]).sum(-1)
            if pos_query is not None:
                score = score + (key[:, :, j] * pos_query[:, i - j + lowest]).sum(-1)
            row.append(score)
        rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)

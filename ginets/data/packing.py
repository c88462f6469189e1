"""Several rows in one: blocks of equal length without padding in between, and no attention from row to row.

Models that build their masks from `position_ids` keep the rows of a block apart where positions start again at 0, but
only if they get neither an attention mask nor a cache; a mask of ones lets every row read those before it. Packed
batches therefore have no mask (a `Trainer` switches the cache off), and padding is one more row.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from ..extras import require
from .segments import IGNORED


PROBE = 6  # tokens of each of the two rows that `keeps_rows_apart` packs


def pack(rows, block_length: int):
    """Pack a dataset of `input_ids` and `labels` into blocks, longest rows first, each into the fullest that has room.

    Args:
        rows: `datasets.Dataset` of rows no longer than `block_length` tokens.

    Returns:
        A `datasets.Dataset` with `input_ids`, `labels`, `position_ids` and `length`; every row is in one block.
    """
    datasets = require("datasets", extra="train")
    lengths = np.array(rows["length"])
    blocks, rooms = [], []  # rooms: (tokens left, block), sorted
    for row in np.argsort(-lengths, kind="stable"):
        at = bisect_left(rooms, (int(lengths[row]), -1))
        room, block = rooms.pop(at) if at < len(rooms) else (block_length, len(blocks))
        if block == len(blocks):
            blocks.append([])
        blocks[block].append(int(row))
        insort(rooms, (room - int(lengths[row]), block))
    ids, labels = rows["input_ids"], rows["labels"]
    columns = {
        "input_ids": [[i for row in block for i in ids[row]] for block in blocks],
        "labels": [[i for row in block for i in labels[row]] for block in blocks],
        "position_ids": [[i for row in block for i in range(lengths[row])] for block in blocks],
    }
    columns["length"] = [len(block) for block in columns["input_ids"]]
    return datasets.Dataset.from_dict(columns)


@dataclass
class CausalCollator:
    """Pads rows of `input_ids` and `labels` on the right; packed ones with `position_ids`, and without a mask.

    Attributes:
        pad_token_id: what is padded with; its labels are ignored.
        pad_to_multiple_of: of the length of a batch.
    """

    pad_token_id: int
    pad_to_multiple_of: int | None = None

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """`(batch, length)` tensors: `input_ids`, `labels`, and `attention_mask` or, packed, `position_ids`."""
        unit = self.pad_to_multiple_of or 1
        longest = -(-max(len(row["input_ids"]) for row in rows) // unit) * unit
        missing = [longest - len(row["input_ids"]) for row in rows]

        def padded(name: str, filling) -> torch.Tensor:
            return torch.tensor([[*row[name], *filling(count)] for row, count in zip(rows, missing, strict=True)])

        batch = {
            "input_ids": padded("input_ids", lambda count: [self.pad_token_id] * count),
            "labels": padded("labels", lambda count: [IGNORED] * count),
        }
        if "position_ids" in rows[0]:
            return batch | {"position_ids": padded("position_ids", range)}
        mask = [[1] * (longest - count) + [0] * count for count in missing]
        return batch | {"attention_mask": torch.tensor(mask)}


@torch.no_grad()
def keeps_rows_apart(model: PreTrainedModel) -> bool:
    """Whether the rows of a packed block do not see each other: changes one and looks at the other."""
    was_training = model.training
    model.eval()
    ids = torch.arange(1, 2 * PROBE + 1, device=next(model.parameters()).device)[None] % model.config.vocab_size
    other = ids.clone()
    other[:, :PROBE] = other[:, :PROBE].flip(1)
    positions = torch.arange(2 * PROBE, device=ids.device)[None] % PROBE
    try:
        first, second = (
            model(input_ids=given, position_ids=positions, use_cache=False).logits[:, PROBE:] for given in (ids, other)
        )
    except TypeError:  # it knows no position ids
        return False
    finally:
        model.train(was_training)
    return torch.allclose(first, second, atol=1e-5 * float(first.abs().max()))

"""DeBERTa's relative attention terms as one additive bias, indexed by offset instead of gathered.

For a query at position i and a key at position j both terms depend on the positions only through the offset i - j:

    c2p[i, j] = query_i · pos_key[i - j]        p2c[i, j] = key_j · pos_query[i - j]

(He et al. 2021, arXiv:2006.03654, eq. 4). One product with the table of all offsets therefore holds every wanted
score, and the scores of row i are a contiguous stretch that begins one place earlier than those of row i - 1: a
strided view, see `band`. Long sequences are done in blocks of rows, because r rows of m columns need only m + r - 1
offsets.
"""

from collections.abc import Iterator

import torch
from torch.nn import functional

from .dispatch import compute_dtype, needs_plain_operations


# Rows per block and scores per slab of heads. On a CPU both should stay in cache; an accelerator wants few, large
# products.
CPU_BLOCK_ROWS = 64
CPU_SLAB_SCORES = 2**20
ACCELERATOR_BLOCK_ROWS = 256


def offset_index(
    query_length: int, key_length: int, span: int, buckets: int, max_position: int, device: torch.device
) -> torch.Tensor:
    """Row of the relative embedding table for every offset i - j, from -(key_length - 1) to query_length - 1.

    Args:
        span: half the number of rows of the table; offset 0 is row `span`.
        buckets: number of buckets per sign; up to `buckets / 2` positions away each offset has its own, further away
            they are spaced logarithmically. Not positive: no buckets.
        max_position: distance at which the last bucket is reached.

    Returns:
        int64 tensor of `query_length + key_length - 1` values in `[0, 2 * span)`.
    """
    offset = torch.arange(1 - key_length, query_length, device=device)
    # CODEPATH: position_buckets > 0 in the published v3 checkpoints; without buckets offsets are clipped only.
    if buckets > 0 and max_position > 0:
        middle = buckets // 2
        distance = offset.abs()
        # Float32 as in the checkpoints' training code: the ceiling must fall on the same side.
        growth = torch.log(distance.clamp(min=1) / middle) / torch.log(torch.tensor((max_position - 1) / middle))
        far = torch.ceil(growth * (middle - 1)) + middle
        offset = torch.where(distance <= middle, offset, (far * offset.sign()).long())
    return (offset + span).clamp(0, 2 * span - 1)


def band(scores: torch.Tensor, columns: int) -> torch.Tensor:
    """View `(..., r, columns)` of `scores (..., r, columns + r)` with `view[i, j] = scores[i, j - i + r - 1]`.

    The last column of `scores` is never looked at. It is there so that a row of the view is shorter than the way from
    one row to the next, even if there is but one row.
    """
    rows, width = scores.shape[-2:]
    stretch = scores.flatten(-2)[..., rows - 1 : rows - 1 + rows * (width - 1)]
    return stretch.unflatten(-1, (rows, width - 1))[..., :columns]


def disentangled_bias(
    query: torch.Tensor,
    key: torch.Tensor,
    pos_key: torch.Tensor | None,
    pos_query: torch.Tensor | None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of the content-to-position term, the position-to-content term and the mask.

    Args:
        query: `(batch, heads, query_length, head_size)`.
        key: `(batch, heads, key_length, head_size)`.
        pos_key: position keys `(heads, query_length + key_length - 1, head_size)`, one for each offset i - j in
            ascending order, already scaled; None leaves the content-to-position term out.
        pos_query: position queries, as `pos_key`; None leaves the position-to-content term out.
        mask: additive mask that broadcasts to the result; receives no gradient.

    Returns:
        `(batch, heads, query_length, key_length)`.

    Raises:
        ValueError: if both terms are left out, or a table does not have one row for each offset.
    """
    if pos_key is None and pos_query is None:
        raise ValueError("disentangled_bias needs pos_key, pos_query or both; both are None")
    offsets = query.shape[2] + key.shape[2] - 1
    for name, table in (("pos_key", pos_key), ("pos_query", pos_query)):
        if table is not None and table.shape[1] != offsets:
            raise ValueError(f"{name} has {table.shape[1]} rows; {offsets} offsets need one each")
    if pos_key is not None:
        # Columns ascend: for the row of a query they are ascending j, hence descending offsets. Not `flip`: the CPU
        # compiler of torch 2.13 writes past the gradient of a table that is flipped after it was indexed.
        pos_key = pos_key.index_select(1, torch.arange(offsets - 1, -1, -1, device=pos_key.device))
    # The row that `band` wants and does not read.
    tables = [x if x is None else functional.pad(x, (0, 0, 0, 1)) for x in (pos_key, pos_query)]
    dtype = compute_dtype(query)
    operands = [x if x is None else x.to(dtype) for x in (query, key, *tables, mask)]
    path = _plain_bias if needs_plain_operations(*operands) else _BlockedBias.apply
    return path(*operands)


def _plain_bias(query, key, pos_key, pos_query, mask):
    """The definition in differentiable, traceable operations; needs room for the scores of all offsets."""
    bias = 0.0 if mask is None else mask
    if pos_key is not None:
        bias = bias + band(query @ pos_key.transpose(1, 2), key.shape[2])
    if pos_query is not None:
        bias = bias + band(key @ pos_query.transpose(1, 2), query.shape[2]).transpose(2, 3)
    return bias


def _slabs(query: torch.Tensor, key: torch.Tensor) -> Iterator[tuple[slice, slice]]:
    """Batch and head slices: both terms of a slab are done before the next one. On an accelerator all is one slab."""
    batch, heads, length, _ = query.shape
    batch_step, head_step = batch, heads
    if query.device.type == "cpu":
        batch_step = max(1, CPU_BLOCK_ROWS // length)
        head_step = min(heads, max(1, CPU_SLAB_SCORES // (batch_step * length * key.shape[2])))
    for first in range(0, batch, batch_step):
        for head in range(0, heads, head_step):
            yield slice(first, first + batch_step), slice(head, head + head_step)


def _blocks(content: torch.Tensor, columns: int) -> Iterator[tuple[slice, slice]]:
    """Row slices that cover `content` and for each the rows of the table that it needs."""
    length = content.shape[2]
    step = CPU_BLOCK_ROWS if content.device.type == "cpu" else ACCELERATOR_BLOCK_ROWS
    for start in range(0, length, step):
        stop = min(start + step, length)
        yield slice(start, stop), slice(length - stop, length - start + columns)


def _by_head(block: torch.Tensor) -> torch.Tensor:
    """`(batch, heads, rows, size)` to `(heads, batch * rows, size)`: one product a head, as tables have no batch."""
    return block.transpose(0, 1).flatten(1, 2)


class _BlockedBias(torch.autograd.Function):
    """`_plain_bias` in blocks of rows. Keeps its arguments for the backward pass, none of the scores."""

    @staticmethod
    def forward(ctx, query, key, pos_key, pos_query, mask):
        ctx.save_for_backward(query, key, pos_key, pos_query, mask)
        bias = query.new_empty(*query.shape[:3], key.shape[2])
        addend = (query.new_zeros(()) if mask is None else mask).expand_as(bias)
        for slab in _slabs(query, key):
            source, target = addend[slab], bias[slab]
            if pos_key is not None:
                _add_term(query[slab], pos_key[slab[1]], source, target)
                source = target
            if pos_query is not None:
                _add_term(key[slab], pos_query[slab[1]], source.transpose(2, 3), target.transpose(2, 3))
        return bias

    @staticmethod
    def backward(ctx, grad):
        query, key, pos_key, pos_query, _ = operands = ctx.saved_tensors
        needed = ctx.needs_input_grad
        if torch.is_grad_enabled():  # create_graph=True: the blocks below would cut the graph
            inputs = [x for x, wanted in zip(operands, needed, strict=True) if wanted]
            found = torch.autograd.grad(_plain_bias(*operands), inputs, grad, create_graph=True, allow_unused=True)
            found = iter(found)
            return tuple(next(found) if wanted else None for wanted in needed)
        terms = [
            (query, pos_key, grad, *_zeros(query, pos_key, needed[0], needed[2])),
            (key, pos_query, grad.transpose(2, 3), *_zeros(key, pos_query, needed[1], needed[3])),
        ]
        spare = {}
        for slab in _slabs(query, key):
            for content, table, term_grad, content_grad, table_grad in terms:
                if table is not None:
                    _add_gradients(
                        content[slab],
                        table[slab[1]],
                        term_grad[slab],
                        None if content_grad is None else content_grad[slab],
                        None if table_grad is None else table_grad[slab[1]],
                        spare,
                    )
        (*_, query_grad, pos_key_grad), (*_, key_grad, pos_query_grad) = terms
        grads = (query_grad, key_grad, pos_key_grad, pos_query_grad)
        return *(x if x is None else x.to(y.dtype) for x, y in zip(grads, operands, strict=False)), None


def _add_term(content, table, source, target):
    """`target = source + term`, block by block; `target` may be `source`."""
    for rows, offsets in _blocks(content, target.shape[3]):
        block = content[:, :, rows]
        scores = torch.bmm(_by_head(block), table[:, offsets].transpose(1, 2))
        scores = scores.unflatten(1, (block.shape[0], block.shape[2])).transpose(0, 1)
        torch.add(source[:, :, rows], band(scores, target.shape[3]), out=target[:, :, rows])


def _zeros(content, table, content_needed, table_needed):
    """Room for the gradients of a term; None for those not needed."""
    if table is None:
        return None, None
    # That of the table is summed over blocks: in float32 even if the table is a half-precision one.
    dtype = torch.promote_types(table.dtype, torch.float32)
    return (
        torch.empty_like(content) if content_needed else None,
        torch.zeros_like(table, dtype=dtype) if table_needed else None,
    )


def _add_gradients(content, table, grad, content_grad, table_grad, spare):
    """Writes the gradient of `content` and adds that of `table`, where there is room for it.

    `spare` keeps one buffer of each shape: blocks of one shape overwrite the same band, the zeros beside it stay.
    """
    for rows, offsets in _blocks(content, grad.shape[3]):
        block = content[:, :, rows]
        shape = (block.shape[1], block.shape[0], block.shape[2], offsets.stop - offsets.start)
        if shape not in spare:
            spare[shape] = content.new_zeros(shape)
        band(spare[shape], grad.shape[3]).copy_(grad[:, :, rows].transpose(0, 1))
        by_head = spare[shape].flatten(1, 2)
        if content_grad is not None:
            product = torch.bmm(by_head, table[:, offsets]).unflatten(1, shape[1:3])
            content_grad[:, :, rows] = product.transpose(0, 1)
        if table_grad is not None:
            table_grad[:, offsets] += torch.bmm(by_head.transpose(1, 2), _by_head(block))

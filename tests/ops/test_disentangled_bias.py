"""The relative attention terms against their definition, position by position, in value and gradient."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

from ginets.ops import disentangled_bias as module
from ginets.ops.disentangled_bias import band, disentangled_bias, offset_index
from ginets.ops.dispatch import compute_dtype
from tests.reference import disentangled as reference


TERMS = pytest.mark.parametrize("terms", ["c2p", "p2c", "c2p|p2c"])
LENGTHS = pytest.mark.parametrize(("query_length", "key_length"), [(1, 1), (7, 7), (5, 8), (8, 5)])


def operands(terms, query_length, key_length, dtype=torch.float64, batch=2, heads=3, size=4):
    def draw(*shape):
        return torch.randn(*shape, dtype=dtype, requires_grad=True)

    offsets = query_length + key_length - 1
    tables = [draw(heads, offsets, size) if term in terms else None for term in ("c2p", "p2c")]
    return draw(batch, heads, query_length, size), draw(batch, heads, key_length, size), *tables


@pytest.fixture(params=[(3, 1), (64, 2**20)], ids=["many blocks", "one block"])
def blocks(request, monkeypatch):
    rows, scores = request.param
    monkeypatch.setattr(module, "CPU_BLOCK_ROWS", rows)
    monkeypatch.setattr(module, "CPU_SLAB_SCORES", scores)


@pytest.mark.parametrize(
    ("length", "span", "buckets", "max_position"),
    [(600, 256, 256, 512), (90, 16, 16, 64), (90, 32, -1, 32), (20, 64, 0, 64), (40, 9, 9, 40)],
)
def test_offset_index_is_the_stock_table_row(length, span, buckets, max_position):
    found = offset_index(length, length, span, buckets, max_position, torch.device("cpu"))
    by_formula = [reference.table_row(d, span, buckets, max_position) for d in range(1 - length, length)]
    assert found.tolist() == by_formula
    # Stock has a matrix; its first column holds the offsets from 0 up, its first row those from 0 down.
    sequence = torch.empty(length, 1)
    stock = build_relative_position(sequence, sequence, buckets, max_position)[0]
    stock = torch.cat([stock[0, 1:].flip(0), stock[:, 0]])
    assert torch.equal(found, (stock + span).clamp(0, 2 * span - 1))


def test_offset_index_of_unequal_lengths():
    found = offset_index(2, 4, 8, -1, 8, torch.device("cpu"))
    assert found.tolist() == [8 - 3, 8 - 2, 8 - 1, 8, 8 + 1]


def test_band_is_a_view_of_the_wanted_scores():
    scores = torch.arange(2 * 3 * 7).view(2, 3, 7)
    view = band(scores, 4)
    assert view.data_ptr() == scores[0, 0, 2:].data_ptr()
    assert view[0].tolist() == [[2, 3, 4, 5], [8, 9, 10, 11], [14, 15, 16, 17]]
    assert torch.equal(view[1], view[0] + 21)
    assert band(scores[:, :1, :5], 4)[0].tolist() == [[0, 1, 2, 3]]


@TERMS
@LENGTHS
@pytest.mark.parametrize("mask_shape", [None, (2, 1, 1, -1), (2, 1, -1, -1)])
def test_matches_the_definition(terms, query_length, key_length, mask_shape, blocks):
    args = operands(terms, query_length, key_length)
    full = (2, 1, query_length, key_length)
    mask = None
    if mask_shape is not None:
        mask = torch.randn([b if a == -1 else a for a, b in zip(mask_shape, full, strict=True)], dtype=torch.float64)
    expected = reference.disentangled_bias(*args) + (0 if mask is None else mask)
    found = disentangled_bias(*args, mask)
    torch.testing.assert_close(found, expected)
    inputs = [x for x in args if x is not None]
    grad = torch.randn_like(found)
    # A term that is off leaves its content without a gradient here, with one of zeros in the formula.
    expected_grads = torch.autograd.grad(expected, inputs, grad, allow_unused=True)
    for a, b in zip(torch.autograd.grad(found, inputs, grad, allow_unused=True), expected_grads, strict=True):
        torch.testing.assert_close(*(torch.zeros(()).double() if x is None else x for x in (a, b)), check_dtype=False)


@TERMS
def test_gradients_of_both_orders_and_modes(terms, blocks):
    args = [x for x in operands(terms, 4, 5, batch=1, heads=2, size=2) if x is not None]

    def bias(query, key, *tables):
        tables = iter(tables)
        return disentangled_bias(query, key, *(next(tables) if term in terms else None for term in ("c2p", "p2c")))

    assert gradcheck(bias, args)
    assert gradcheck(bias, args, check_forward_ad=True, check_backward_ad=False)
    assert gradgradcheck(bias, args)


def test_computes_only_the_gradients_that_are_needed(blocks):
    query, key, pos_key, pos_query = operands("c2p|p2c", 7, 7)
    expected = torch.autograd.grad(
        reference.disentangled_bias(query, key, pos_key, pos_query).sum(), (query, pos_query)
    )
    frozen = disentangled_bias(query, key.detach(), pos_key.detach(), pos_query)
    for a, b in zip(torch.autograd.grad(frozen.sum(), (query, pos_query)), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_compiled_path_is_whole_and_equal_at_any_length():
    compiled = torch.compile(disentangled_bias, fullgraph=True, dynamic=True, backend="eager")
    for query_length, key_length in ((6, 6), (7, 4)):
        args = operands("c2p|p2c", query_length, key_length)
        results = [f(*args) for f in (disentangled_bias, compiled)]
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*(torch.autograd.grad(r.square().sum(), args) for r in results))


def test_gradients_of_an_indexed_table_through_the_default_compiler(cpp_compiler):
    """As the model calls it: rows of a table by offset. A `flip` in between made compiled code write out of bounds."""
    index = offset_index(7, 7, 4, 4, 64, torch.device("cpu"))
    query, key, *_ = operands("", 7, 7, dtype=torch.float32)
    tables = [torch.randn(8, 12, requires_grad=True) for _ in range(2)]

    def bias(query, key, *tables):
        rows = (table.index_select(0, index).unflatten(-1, (3, -1)).transpose(0, 1) for table in tables)
        return disentangled_bias(query, key, *rows)

    args = (query, key, *tables)
    results = [torch.autograd.grad(f(*args).square().sum(), args) for f in (bias, torch.compile(bias, fullgraph=True))]
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype, blocks):
    args = [x.detach().to(dtype).requires_grad_() for x in operands("c2p|p2c", 9, 9)]
    found, expected = disentangled_bias(*args), reference.disentangled_bias(*(x.double() for x in args))
    assert found.dtype == dtype
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    grad = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad(found, args, grad), torch.autograd.grad(expected, args, grad.double()), strict=True
    ):
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, rtol=tolerance, atol=2 * tolerance)


def test_operands_of_different_types_under_autocast():
    query, key, pos_key, pos_query = operands("c2p|p2c", 6, 6, dtype=torch.float32)
    assert compute_dtype(query) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(query) == torch.bfloat16
        found = disentangled_bias(query, key.bfloat16(), pos_key, pos_query.bfloat16())
    assert found.dtype == torch.bfloat16
    expected = disentangled_bias(query, key, pos_key, pos_query)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.1)
    for x in torch.autograd.grad(found.float().sum(), (query, key, pos_key, pos_query)):
        assert x.dtype == torch.float32 and math.isfinite(x.sum())


def test_wrong_operands_are_refused():
    query, key, pos_key, pos_query = operands("c2p|p2c", 4, 4)
    with pytest.raises(ValueError, match="both are None"):
        disentangled_bias(query, key, None, None)
    with pytest.raises(ValueError, match="pos_query has 6 rows; 7 offsets"):
        disentangled_bias(query, key, pos_key, pos_query[:, 1:])

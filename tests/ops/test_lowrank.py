"""The products of a low-rank branch against the plain expressions, in value, gradient, type and what is kept."""

import pytest
import torch
from torch.autograd import forward_ad
from torch.nn import functional as F

from ginets.ops.lowrank import _Down, _plain_down, add_up, down


SHAPES = [(6,), (5, 6), (2, 5, 6), (2, 3, 5, 6), (0, 6)]
TYPES = [torch.float32, torch.bfloat16, torch.float16]


def leaf(*shape, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(shape).to(dtype).requires_grad_()


def compare(functions, leaves, **tolerance) -> None:
    """Outputs and gradients of two functions of the same tensors; the first is the one under test."""
    results = []
    for function in functions:
        output = function(*leaves)
        weight = torch.linspace(-1, 1, output.numel()).reshape(output.shape)
        results.append((output, *torch.autograd.grad((output.float() * weight).sum(), leaves)))
    for mine, reference in zip(*results, strict=True):
        assert mine.dtype == reference.dtype
        torch.testing.assert_close(mine, reference, **tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kinds", [(a, b) for a in TYPES for b in TYPES], ids=str)
def test_down_is_the_plain_product_to_the_last_bit(shape, kinds):
    leaves = leaf(*shape, dtype=kinds[0]), leaf(3, 6, dtype=kinds[1])
    compare((down, lambda x, weight: F.linear(x.to(weight.dtype), weight)), leaves, rtol=0, atol=0)


def naive(result, ranks, weight):
    return result + ranks @ weight.T * 1.7


@pytest.mark.parametrize("shape", SHAPES)
def test_add_up_is_the_formula(shape):
    leaves = leaf(*shape[:-1], 6), leaf(*shape[:-1], 3), leaf(6, 3)
    compare((lambda *given: add_up(*given, 1.7), naive), leaves)


@pytest.mark.parametrize("base", TYPES, ids=str)
@pytest.mark.parametrize("adapter", TYPES, ids=str)
def test_add_up_promotes_like_a_sum(base, adapter):
    leaves = leaf(4, 5, 6, dtype=base), leaf(4, 5, 3, dtype=adapter), leaf(6, 3, dtype=adapter)
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if adapter == torch.float32 else {"rtol": 2e-2, "atol": 4e-2}
    compare((lambda *given: add_up(*given, 1.7), naive), leaves, **tolerance)


def test_more_bits_of_the_result_are_not_lost_to_a_half_precision_branch():
    result, ranks, weight = torch.full((2, 4), 1 + 2**-20), torch.zeros(2, 3), torch.zeros(4, 3)
    assert torch.equal(add_up(result, ranks.bfloat16(), weight.bfloat16(), 1.0), result)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(add_up(result, ranks, weight, 1.0), result)


def test_autocast():
    x, a, b, w = leaf(2, 5, 6), leaf(3, 6), leaf(4, 3), leaf(4, 6)

    def branch(x, a, b, w, first=down, second=add_up):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return second(F.linear(x, w), first(x, a), b, 1.7)

    def plain(*given):
        return branch(*given, first=F.linear, second=lambda y, h, b, s: y + F.linear(h, b) * s)

    assert branch(x, a, b, w).dtype == torch.bfloat16
    compare((branch, plain), (x, a, b, w), rtol=2e-2, atol=4e-2)


def test_what_is_not_contiguous():
    result, ranks, weight = leaf(6, 4, 5), leaf(3, 4, 5), leaf(3, 6)
    compare((lambda y, h, w: add_up(y.mT.transpose(0, 2), h.mT.transpose(0, 2), w.T, 1.7),
             lambda y, h, w: naive(y.mT.transpose(0, 2), h.mT.transpose(0, 2), w.T)), (result, ranks, weight))  # fmt: skip
    x, a = leaf(6, 4, 5, dtype=torch.bfloat16), leaf(6, 3)
    compare((lambda x, a: down(x.transpose(0, 2), a.T), lambda x, a: F.linear(x.transpose(0, 2).float(), a.T)), (x, a))


def test_gradcheck():
    torch.manual_seed(0)
    x, a, y, h, b = (torch.randn(*shape, dtype=torch.double).requires_grad_() for shape in
                     [(2, 3, 6), (4, 6), (2, 3, 5), (2, 3, 4), (5, 4)])  # fmt: skip
    for function, leaves in (
        (lambda *given: _Down.apply(*given), (x, a)),
        (lambda *given: add_up(*given, 1.7), (y, h, b)),
    ):
        assert torch.autograd.gradcheck(function, leaves)
        assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_needs_no_gradient_gets_none(frozen):
    leaves = [leaf(2, 5, 6, dtype=torch.bfloat16), leaf(3, 6)]
    leaves[frozen].requires_grad_(False)
    down(*leaves).sum().backward()
    assert leaves[frozen].grad is None and leaves[1 - frozen].grad is not None
    (expected,) = torch.autograd.grad(_plain_down(*leaves).sum(), leaves[1 - frozen])
    torch.testing.assert_close(leaves[1 - frozen].grad, expected)


def kept(function, *given) -> int:
    """Bytes of the tensors that a function keeps; of the weights, none."""
    known, sizes = {tensor.data_ptr() for tensor in given[1:]}, []

    def pack(tensor):
        sizes.append(0 if tensor.data_ptr() in known else tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        function(*given)
    return sum(sizes)


def test_no_converted_copy_is_kept():
    x, weight = leaf(4, 5, 6, dtype=torch.bfloat16), leaf(3, 6)
    assert kept(down, x, weight) == x.nbytes
    assert kept(_plain_down, x, weight) == 2 * x.nbytes
    assert kept(down, x, weight.detach()) == 0
    result, ranks, up = leaf(4, 5, 7), leaf(4, 5, 3), leaf(7, 3)
    assert kept(lambda *given: add_up(*given, 1.7), result, ranks, up) == 0


def test_transforms_and_compiled_paths():
    x, a, y, b = leaf(2, 5, 6, dtype=torch.bfloat16), leaf(3, 6), leaf(2, 5, 4), leaf(4, 3)

    def branch(x, a, y, b):
        return add_up(y, down(x, a), b, 1.7)

    expected = branch(x, a, y, b)
    compiled = torch.compile(branch, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, a, y, b), expected)
    compare((compiled, branch), (x, a, y, b))
    mapped = torch.func.vmap(branch, in_dims=(0, None, 0, None))(x, a, y, b)
    torch.testing.assert_close(mapped, expected)
    grads = torch.func.grad(lambda a: branch(x, a, y, b).sum())(a)
    torch.testing.assert_close(grads, torch.autograd.grad(expected.sum(), a)[0])
    with forward_ad.dual_level():
        tangent = torch.randn_like(a)
        dual = branch(x.detach(), forward_ad.make_dual(a.detach(), tangent), y.detach(), b.detach())
        moved = forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(moved, 1.7 * x.float() @ tangent.T @ b.T)
    traced = torch.jit.trace(branch, (x, a, y, b))
    torch.testing.assert_close(traced(x, a, y, b), expected)

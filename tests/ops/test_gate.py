"""The gate's numbers against the formula written out, in value and gradient."""

import math

import pytest
import torch

from ginets.ops.gate import gate_projection, inhibit


def naive(projection, scores, level, scope):
    gelu = lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))  # noqa: E731
    maximum = scores.amax() if scope == "batch" else scores.amax(-1, keepdim=True)
    return projection * (gelu(scores - level * maximum) + 1)


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("scope", ["token", "batch"])
@pytest.mark.parametrize("level", [0, 0.3, 0.9])
@pytest.mark.parametrize("ties", [False, True])
def test_matches_the_formula(shape, scope, level, ties):
    scores = torch.zeros(shape, dtype=torch.double) if ties else torch.randn(shape, dtype=torch.double) * 3
    projection, grad = torch.randn(shape, dtype=torch.double), torch.randn(shape, dtype=torch.double)
    results = []
    for function in (gate_projection, naive):
        leaves = projection.clone().requires_grad_(), scores.clone().requires_grad_()
        output = function(*leaves, level, scope)
        output.backward(grad)
        results.append((output.detach(), *(leaf.grad for leaf in leaves)))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=0, atol=1e-12)


def test_the_gradient_of_the_maximum_is_alive():
    """With a detached maximum the winner's gradient would miss −p times the sum of the others'."""
    scores = torch.tensor([2.0, 1.0, -1.0], requires_grad=True)
    inhibit(scores, 0.3).sum().backward()
    torch.testing.assert_close(scores.grad, torch.tensor([1 - 3 * 0.3, 1.0, 1.0]))


@pytest.mark.parametrize("level", [0, 0.3, 0.99])
def test_zero_scores_are_the_identity(level):
    projection = torch.randn(4, 8)
    assert torch.equal(gate_projection(projection, torch.zeros(4, 8), level), projection)


def test_the_gate_never_weakens_by_more_than_seventeen_percent():
    """min gelu = −0.169971 (at −0.7518), so G ≥ 0.830029."""
    scores = torch.linspace(-3, 3, 100_001, dtype=torch.double)
    gate = gate_projection(torch.ones_like(scores), scores, 0)
    assert gate.min().item() == pytest.approx(0.830029, abs=1e-6)


def test_inference_and_compiled_paths_agree_with_training():
    projection, scores = torch.randn(2, 5, 8), torch.randn(2, 5, 8, requires_grad=True)
    training = gate_projection(projection, scores, 0.3)
    with torch.no_grad():
        torch.testing.assert_close(gate_projection(projection, scores, 0.3), training)
    compiled = torch.compile(gate_projection, fullgraph=True, backend="aot_eager")(projection, scores, 0.3)
    torch.testing.assert_close(compiled, training)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    projection, scores = torch.randn(3, 16), torch.randn(3, 16)
    leaf = scores.to(dtype).requires_grad_()
    output = gate_projection(projection.to(dtype), leaf, 0.3)
    output.float().sum().backward()
    assert output.dtype == dtype and leaf.grad.isfinite().all()
    torch.testing.assert_close(output.float(), naive(projection, scores, 0.3, "token"), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("scope", ["token", "batch"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_at_the_start(dtype, scope):
    """All scores are 0 and share the gradient of the maximum: more of them than float16 can count."""
    shape = (2, 300, 128)
    scores = torch.zeros(shape, dtype=dtype, requires_grad=True)
    projection, grad = torch.ones(shape, dtype=dtype), torch.full(shape, 8.0, dtype=dtype)
    gate_projection(projection, scores, 0.25, scope).backward(grad)
    # gelu'(0) = 1/2, and of each score's gradient a quarter goes to the maximum, of which each has its share
    torch.testing.assert_close(scores.grad, torch.full(shape, 8 * 0.5 * (1 - 0.25), dtype=dtype))


def test_second_derivatives():
    leaves = [torch.randn(3, 4, dtype=torch.double, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradgradcheck(lambda p, s: gate_projection(p, s, 0.3), leaves)


def test_projection_that_needs_no_gradient():
    """Frozen projections (an adapter trains the gate alone) get no gradient and cost none downstream."""
    scores = torch.randn(3, 4, requires_grad=True)
    gate_projection(torch.ones(3, 4), scores, 0.3).sum().backward()
    assert scores.grad.abs().sum() > 0


def test_a_scope_that_does_not_exist():
    """Neither read as another one, nor found out in the backward pass."""
    scores = torch.randn(3, 4, requires_grad=True)
    for run in (lambda: inhibit(scores, 0.3, "Batch"), lambda: gate_projection(torch.ones(3, 4), scores, 0.3, "head")):
        with pytest.raises(ValueError, match=r"scope is '(Batch|head)'; allowed: token, batch"):
            run()

"""The inhibited branch's numbers against hand-computed values and the formula written out."""

import pytest
import torch

from ginets.ops.inhibited_lowrank import inhibit_ranks
from tests.reference.gates import branch


def test_gradient_by_hand():
    """h = [.9, .1, −.2, .05], p = .3: the winner gets (1 − p) − .01·p·(r − 1) = .691, the others leak .01."""
    ranks = torch.tensor([0.9, 0.1, -0.2, 0.05], requires_grad=True)
    output = inhibit_ranks(ranks, 0.3)
    output.sum().backward()
    torch.testing.assert_close(output, torch.tensor([0.63, -0.0017, -0.0047, -0.0022]))
    torch.testing.assert_close(ranks.grad, torch.tensor([0.691, 0.01, 0.01, 0.01]))


def test_properties():
    ranks = torch.randn(6, 8)
    assert torch.equal(inhibit_ranks(ranks, 0), ranks)
    torch.testing.assert_close(inhibit_ranks(2 * ranks, 0.3), 2 * inhibit_ranks(ranks, 0.3))
    order = torch.randperm(8)
    assert torch.equal(inhibit_ranks(ranks[:, order], 0.3), inhibit_ranks(ranks, 0.3)[:, order])
    negative = -ranks.abs() - 0.1  # then p·max lies above the maximum: every rank is suppressed
    torch.testing.assert_close(inhibit_ranks(negative, 0.3), 0.01 * (negative - 0.3 * negative.amax(-1, keepdim=True)))


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 4, 6)])
@pytest.mark.parametrize("level", [0, 0.3])
def test_matches_the_formula(shape, level):
    """The branch with A and B as the identity is the inhibition of the ranks alone."""
    ranks, identity, results = torch.randn(shape, dtype=torch.double), torch.eye(6, dtype=torch.double), []
    for function in (inhibit_ranks, lambda x, p: branch(x, identity, identity, p, 1.0)):
        leaf = ranks.clone().requires_grad_()
        output = function(leaf, level)
        output.square().sum().backward()
        results.append([output.detach(), leaf.grad])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference)

"""SoRA: the proximal step that trains the gates, against its formula, with every kind of optimizer."""

import pytest
import torch
from torch import nn

from ginets.tuners import train_gates
from tests.tuners.sora_parts import IDS, Small, adam, close_some, gates, small


def backward(model, scaler=None) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Fresh gradients; returns gates and their gradients."""
    model.zero_grad()
    loss = model(IDS).square().mean()
    (scaler.scale(loss) if scaler else loss).backward()
    scale = scaler.get_scale() if scaler else 1
    return [(gate.detach().clone(), gate.grad / scale) for gate in gates(model)]


def naive(before, rate: float, penalty: float) -> list[torch.Tensor]:
    moved = [g - rate * grad for g, grad in before]
    return [v.sign() * (v.abs() - rate * penalty).clamp(min=0) for v in moved]


def check(model, expected) -> None:
    for gate, value in zip(gates(model), expected, strict=True):
        torch.testing.assert_close(gate.detach(), value, rtol=1e-6, atol=1e-7)
        assert torch.equal(gate == 0, value == 0)


OPTIMIZERS = {
    "adamw": lambda model: adam(model, weight_decay=0.5),
    "fused": lambda model: adam(model, weight_decay=0.5, fused=True),
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=0.5),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_step_is_the_soft_threshold(name):
    model = small(sparse_lambda=0.4, gate_lr=0.5, init_gate="normal")
    optimizer = OPTIMIZERS[name](model)
    train_gates(model, optimizer)
    for _ in range(6):
        before = backward(model)
        optimizer.step()
        check(model, naive(before, 0.5, 0.4))
    assert any((gate == 0).any() for gate in gates(model))
    assert not any(gate in optimizer.state for gate in gates(model))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_but_the_step_moves_a_gate(name):
    """Neither momentum from before, nor weight decay: closed gates stay exactly closed, open ones where they are."""
    model = small(sparse_lambda=0.0)
    optimizer = OPTIMIZERS[name](model)
    for _ in range(3):  # the optimizer builds up momentum in the gates, as if somebody had forgotten to attach
        backward(model)
        optimizer.step()
    close_some(model)
    train_gates(model, optimizer)
    start = [gate.detach().clone() for gate in gates(model)]
    for _ in range(5):
        backward(model)
        for gate in gates(model):
            gate.grad.zero_()
        optimizer.step()
    assert all(torch.equal(gate, value) for gate, value in zip(gates(model), start, strict=True))


def test_large_penalty_keeps_closed_gates_closed_and_a_large_gradient_opens_them():
    model = small(sparse_lambda=1.0, gate_lr=0.1)
    close_some(model)
    optimizer = adam(model)
    train_gates(model, optimizer)
    gate = gates(model)[2]
    backward(model)
    for each in gates(model):
        each.grad = torch.full_like(each, 0.99)
    gate.grad[0] = -3.0
    closed = gate == 0
    assert closed[0]
    optimizer.step()
    assert gate[0].item() == pytest.approx(0.1 * 3 - 0.1 * 1)
    assert (gate[closed][1:] == 0).all()


def test_rate_follows_the_schedule_and_lambda_warms_up():
    model = small(sparse_lambda=0.8, gate_lr=0.5, lambda_warmup=4)
    optimizer = adam(model, lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    train_gates(model, optimizer)
    for step in range(6):
        before = backward(model)
        optimizer.step()
        schedule.step()
        check(model, naive(before, 0.5 / (1 + step), 0.8 * min(1, (step + 1) / 4)))


def test_rate_follows_schedules_that_begin_elsewhere():
    """One that waits for what happens notes no start; one cycle begins far below its peak."""
    for make, shares in (
        (lambda opt: torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=0.25, patience=0), (1, 1, 0.25)),
        (
            lambda opt: torch.optim.lr_scheduler.OneCycleLR(opt, 1e-3, total_steps=20, pct_start=0.1, div_factor=10),
            (0.1, 1),
        ),
    ):
        model = small(sparse_lambda=0.8, gate_lr=0.5, lambda_warmup=1)
        optimizer = adam(model, lr=1e-3)
        schedule = make(optimizer)
        train_gates(model, optimizer)
        for share in shares:
            before = backward(model)
            optimizer.step()
            schedule.step(*[1.0] * isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau))
            check(model, naive(before, 0.5 * share, 0.8))


def test_gates_of_half_precision_are_warned_of():
    model = small()
    for gate in gates(model):
        gate.data = gate.data.bfloat16()
    with pytest.warns(UserWarning, match="gates of SoRA are in torch.bfloat16"):
        train_gates(model, adam(model))


def test_without_a_rate_of_its_own_a_gate_takes_that_of_its_group():
    model = small(sparse_lambda=2.0, gate_lr=None)
    groups = [{"params": gates(model)[:2], "lr": 0.3}, {"params": gates(model)[2:], "lr": 0.01}]
    optimizer = torch.optim.AdamW(groups)
    train_gates(model, optimizer)
    before = backward(model)
    optimizer.step()
    check(model, naive(before[:2], 0.3, 2.0) + naive(before[2:], 0.01, 2.0))


def test_attached_twice_steps_once_and_detached_not_at_all():
    model = small(sparse_lambda=0.4)
    optimizer = adam(model)
    handles = [train_gates(model, optimizer) for _ in range(2)]
    before = backward(model)
    optimizer.step()
    check(model, naive(before, 1.0, 0.4))
    for handle in handles:
        handle.remove()
    before = backward(model)
    optimizer.step()
    assert not torch.equal(gates(model)[0], naive(before, 1.0, 0.4)[0])


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clipped", [False, True])
def test_loss_scaling(fused, clipped):
    """Scaled gradients are unscaled once; an overflowed step moves no gate."""
    model = small(sparse_lambda=0.1, gate_lr=0.5)
    optimizer, scaler = adam(model, fused=fused), torch.amp.GradScaler("cpu", init_scale=256.0)
    train_gates(model, optimizer)
    before = backward(model, scaler)
    if clipped:
        scaler.unscale_(optimizer)
        total = nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        before = [(gate, grad * 0.01 / (total + 1e-6)) for gate, grad in before]
    scaler.step(optimizer)
    scaler.update()
    check(model, naive(before, 0.5, 0.1))
    start = [gate.detach().clone() for gate in gates(model)]
    backward(model, scaler)
    next(p for p in model.parameters() if p.grad is not None).grad.fill_(float("inf"))
    scaler.step(optimizer)
    assert all(torch.equal(gate, value) for gate, value in zip(gates(model), start, strict=True))


def test_what_cannot_be_trained_is_refused():
    model = small()
    with pytest.raises(ValueError, match="no SoRA adapter"):
        train_gates(Small(), adam(model))
    with pytest.raises(ValueError, match="none of the model's gates"):
        train_gates(model, adam(small()))
    optimizer = adam(model)
    train_gates(model, optimizer)
    with pytest.raises(ValueError, match="closure"):
        optimizer.step(lambda: model(IDS).sum())


def test_pruned_model_goes_on_training():
    """Also while an output from before is there, whose graph holds the tensors of then."""
    model = small()
    close_some(model)
    kept = model(IDS)
    model.prune()
    torch.testing.assert_close(model(IDS), kept)
    optimizer = adam(model)
    train_gates(model, optimizer)
    before = backward(model)
    optimizer.step()
    check(model, naive(before, 1.0, 3e-4))

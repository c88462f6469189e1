"""SoRA: the branch against PEFT's LoRA and a naive formula, the proximal step, pruning, training with a Trainer."""

import peft
import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from ginets.tuners import SoraConfig, train_gates


class Small(nn.Module):
    """One module of each kind; the name of the last ends in that of the first."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 12)
        self.conv = Conv1D(10, 12)
        self.linear = nn.Linear(10, 7)
        self.inner = nn.ModuleDict({"linear": nn.Linear(7, 5)})

    def forward(self, ids):
        return self.inner["linear"](torch.tanh(self.linear(self.conv(self.table(ids)))))


TARGETS = ["table", "conv", "linear"]
IDS = torch.tensor([[1, 2, 3], [4, 5, 1]])


def small(**fields) -> PeftModel:
    torch.manual_seed(0)
    return get_peft_model(Small(), SoraConfig(**{"r": 4, "target_modules": TARGETS, "init_weights": False} | fields))


def gates(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for name, parameter in model.named_parameters() if ".sora_gate." in name]


def close_some(model: nn.Module) -> None:
    """Sets gates to zero: some of each module, in the second module all."""
    with torch.no_grad():
        for number, gate in enumerate(gates(model)):
            gate.copy_(torch.randn(gate.shape, generator=torch.Generator().manual_seed(number)))
            gate[number % 2 :: 2] = 0
        gates(model)[1].zero_()


def adam(model: nn.Module, **fields) -> torch.optim.Optimizer:
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **{"lr": 0.1} | fields)


# ---------------------------------------------------------------------- the branch


def test_open_gates_are_lora():
    torch.manual_seed(0)
    lora = get_peft_model(
        Small(), peft.LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, init_lora_weights=False)
    )
    ours = small(lora_alpha=16)
    theirs = {name.replace("lora_embedding_", "lora_"): tensor for name, tensor in lora.named_parameters()}
    for name, tensor in ours.named_parameters():
        if "gate" not in name:
            tensor.data = theirs[name.replace("sora_", "lora_")].data.clone()
    expected, got = lora(IDS), ours(IDS)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    expected.square().sum().backward()
    got.square().sum().backward()
    compared = [name for name, tensor in ours.named_parameters() if tensor.requires_grad and "gate" not in name]
    assert len(compared) == 8
    for name in compared:
        reference = theirs[name.replace("sora_", "lora_")].grad
        torch.testing.assert_close(dict(ours.named_parameters())[name].grad, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_formula(shape):
    config = SoraConfig(r=3, lora_alpha=7, target_modules=["0"], init_weights=False, init_gate="normal")
    layer = get_peft_model(nn.Sequential(nn.Linear(6, 4)), config).base_model.model[0]
    A, B, g = (layer.weight_of(name, "default") for name in ("A", "B", "gate"))
    assert g.unique().numel() == 3 and (g != 1).all()
    x = torch.randn(shape, requires_grad=True)
    names = (x, A, B, g)
    got = layer(x)
    expected = layer.base_layer(x) + 7 / 3 * (x @ (B @ torch.diag(g) @ A).T)
    torch.testing.assert_close(got, expected)
    grads = [torch.autograd.grad((y * torch.ones(4).cumsum(0)).sum(), names) for y in (got, expected)]
    for mine, reference in zip(*grads, strict=True):
        torch.testing.assert_close(mine, reference)


def test_merge_is_exact_and_disabling_gives_the_base():
    model = small(init_gate="normal")
    expected = model(IDS)
    with model.disable_adapter():
        off = model(IDS)
    torch.manual_seed(0)
    assert torch.equal(off, Small()(IDS)) and not torch.allclose(off, expected)
    torch.testing.assert_close(model.merge_and_unload()(IDS), expected, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------- the proximal step


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


@pytest.mark.parametrize(
    "field,value",
    [("sparse_lambda", -1e-3), ("lambda_warmup", -1), ("gate_lr", 0), ("gate_lr", "fast"), ("init_gate", "zeros")],
)
def test_bad_fields(field, value):
    with pytest.raises(ValueError, match=f"SoraConfig: {field} is {value!r}; allowed: "):
        SoraConfig(**{field: value})


# ---------------------------------------------------------------------- pruning


@pytest.mark.parametrize("fields", [{}, {"use_rslora": True}, {"lora_alpha": 7, "alpha_pattern": {"linear": 5}}])
def test_pruned_equals_unpruned_in_memory_and_on_disk(fields, tmp_path):
    model = small(**fields).eval()
    close_some(model)
    open_ranks = [max(1, int(gate.count_nonzero())) for gate in gates(model)]
    assert open_ranks == [2, 1, 2, 2]
    expected = model(IDS)
    ranks = model.prune()
    assert ranks == dict(zip(["table", "conv", "linear", "inner.linear"], open_ranks, strict=True))
    torch.testing.assert_close(model(IDS), expected, rtol=1e-6, atol=1e-6)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert sorted(len(tensor) for name, tensor in saved.items() if "gate" in name) == sorted(open_ranks)
    torch.manual_seed(0)
    loaded = PeftModel.from_pretrained(Small(), tmp_path)
    assert torch.equal(loaded(IDS), model(IDS))
    torch.testing.assert_close(loaded.merge_and_unload()(IDS), expected, rtol=1e-5, atol=1e-5)


def test_pruned_model_goes_on_training():
    model = small()
    close_some(model)
    model.prune()
    optimizer = adam(model)
    train_gates(model, optimizer)
    before = backward(model)
    optimizer.step()
    check(model, naive(before, 1.0, 3e-4))


def test_pruning_one_adapter_leaves_the_other():
    model = small()
    model.add_adapter("other", SoraConfig(r=3, target_modules=TARGETS))
    close_some(model)
    before = {name: tensor.shape for name, tensor in model.named_parameters() if ".other" in name}
    model.prune("default")
    assert {name: tensor.shape for name, tensor in model.named_parameters() if ".other" in name} == before
    assert model.peft_config["other"].rank_pattern == {}
    with pytest.raises(ValueError, match="adapter_name is 'third'; the model has default, other"):
        model.prune("third")

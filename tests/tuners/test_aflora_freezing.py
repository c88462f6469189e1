"""AFLoRA: schedule and scores against plain formulas, the controller in a plain loop, state in what is saved."""

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

from ginets.tuners import FreezeController
from ginets.tuners.aflora import FreezeSchedule
from ginets.tuners.aflora.scores import MatrixState, by_element, by_matrix, observe

from .test_aflora import adapted, branches


# ---------------------------------------------------------------------- schedule


def test_published_schedules():
    """MRPC: 20 epochs of 115 steps, 1 of warm-up, 14 all frozen. GSM8K: 1 − x² from 30 to 70 %."""
    glue = FreezeSchedule(2300)
    for step in range(2300):
        x = (step - 115) / (2300 - (1 + 14) * 115)
        expected = 1.0 if step <= 115 else 0.0 if step > 2300 - 14 * 115 else (1 - x) ** 3
        assert glue.keep_ratio(step) == pytest.approx(expected, abs=1e-12)
        assert glue.is_check(step) == (step > 690 or (step > 115 and step % 10 == 0))
    math_run = FreezeSchedule(1000, 0.3, 0.7, shape="quadratic")
    assert [math_run.keep_ratio(step) for step in (300, 400, 500, 600, 700, 701)] == pytest.approx(
        [1, 15 / 16, 3 / 4, 7 / 16, 0, 0]
    )


@pytest.mark.parametrize(
    ("start", "end", "shape", "area"),
    [(0.05, 0.3, "cubic", 0.113), (0.1, 0.3, "cubic", 0.150), (0.3, 0.7, "quadratic", 0.567)],
)
def test_area_under_the_schedule(start, end, shape, area):
    schedule = FreezeSchedule(20000, start, end, shape=shape)
    assert sum(map(schedule.keep_ratio, range(20000))) / 20000 == pytest.approx(area, abs=6e-4)


def test_any_length_of_run():
    """ρ never rises, starts at 1, and a middle phase of n steps has n or about ten checks: never all at once."""
    for steps in range(1, 500):
        schedule = FreezeSchedule(steps)
        ratios = [schedule.keep_ratio(step) for step in range(steps)]
        assert ratios[0] == 1 and ratios == sorted(ratios, reverse=True)
        middle = range(schedule.warmup_end + 1, schedule.tail_start + 1)
        # 9: the middle phase need not start at a multiple of the window
        assert sum(map(schedule.is_check, middle)) >= min(len(middle), 9)
        assert not any(map(schedule.is_check, range(schedule.warmup_end + 1)))
        assert schedule.window <= 10


def test_schedule_needs_steps():
    with pytest.raises(ValueError, match="total_steps is 0"):
        FreezeSchedule(0)


# ---------------------------------------------------------------------- scores


def reference_scores(grads: list[list[float]], window=10, beta1=0.85, beta2=0.95) -> list[float]:
    """The published recursion, number by number: `grads[t][i]` → S of each number after the last step."""
    scores = []
    for series in zip(*grads, strict=True):
        now = mean = spread = 0.0
        for step, g in enumerate(series):
            place = step % window
            if place == 0:
                mean = beta1 * mean + (1 - beta1) * now
                spread = beta2 * spread + (1 - beta2) * abs(now - mean)
                now = abs(g)
            else:
                now = (now * place + abs(g)) / (place + 1)
        scores.append(mean * spread)
    return scores


@pytest.mark.parametrize("steps", [1, 10, 11, 37, 101])
def test_scores_are_the_published_recursion(steps):
    grads = torch.randn(steps, 2, 3, 4) * torch.linspace(0.1, 3, 4)
    states = [MatrixState.fresh(torch.zeros(3, 4, dtype=torch.bfloat16)) for _ in range(2)]
    for both in grads:
        observe(states, list(both), 10, 0.85, 0.95)
    for number, state in enumerate(states):
        expected = torch.tensor(reference_scores(grads[:, number].flatten(1).tolist())).reshape(3, 4)
        torch.testing.assert_close(state.mean * state.spread, expected)
        assert (state.mean * state.spread).any() == (steps > 10)


def test_matrix_rule_freezes_exactly_its_number():
    scores = [torch.full((2, 2), float(value)) for value in (5, 1, 3, 1)]
    assert by_matrix(scores, 1.0, 4) == []
    assert by_matrix(scores, 0.5, 4) == [1, 3]  # equal scores: in the model's order
    assert by_matrix(scores, 0.5, 8) == []  # four of eight are frozen already
    assert by_matrix(scores, 0.25, 8) == [1, 3]
    assert by_matrix(scores, 1 - 0.3, 10) == []
    assert sorted(by_matrix(scores, 0.0, 4)) == [0, 1, 2, 3]
    assert len(by_matrix([torch.rand(2) for _ in range(10)], 0.7, 10)) == 3
    nearly = 1 - 0.57  # (1 − ρ)·100 is 56.99999999999999
    assert int((1 - nearly) * 100) == 56 and len(by_matrix([torch.rand(2) for _ in range(100)], nearly, 100)) == 57


def test_original_rule():
    """θ is the ⌊N(1 − ρ)⌋-th smallest element of all; a matrix below it in the mean is frozen."""
    scores = [torch.rand(size, 3) * factor for size, factor in ((4, 1.0), (2, 0.2), (5, 0.5))]
    elements = sorted(float(e) for each in scores for e in each.flatten())
    for keep in (0.97, 0.8, 0.5, 0.2):
        index = int(len(elements) * (1 - keep))
        below = [i for i, each in enumerate(scores) if index and float(each.mean()) < elements[index - 1]]
        assert by_element(scores, keep, 3) == below
    assert by_element(scores, 0.99, 3) == []  # the 0-th smallest
    zeros = [torch.zeros(2), torch.zeros(3)]
    assert by_element(zeros, 0.5, 2) == [] and by_element(zeros, 0.0, 2) == [0, 1]


# ---------------------------------------------------------------------- the controller in a plain loop


def train(model, steps, **more):
    """A few steps of a plain loop; returns the controller and the gradients of all steps."""
    controller = FreezeController(model, steps, **more)
    trains = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trains, lr=1e-2, weight_decay=0.1)
    seen = []
    for step in range(steps):
        model(torch.randint(11, (4, 5))).square().mean().backward()
        optimizer.step()
        seen.append({(m.module, m.name): m.weight.grad.clone() for m in controller.trainable()})
        controller.step(step, optimizer)
        optimizer.zero_grad()
    return controller, seen, optimizer


def reference_freezing(grads, schedule, pool) -> dict:
    """Which matrix is frozen when, from the gradients alone."""
    frozen = {}
    for step in range(len(grads)):
        if not schedule.is_check(step):
            continue
        trains = [key for key in pool if key not in frozen]
        means = {}
        for key in trains:
            scores = reference_scores([each[key].flatten().tolist() for each in grads[: step + 1]], schedule.window)
            means[key] = sum(scores) / len(scores)
        number = int((1 - schedule.keep_ratio(step)) * len(pool) + 1e-9) - len(frozen)
        for key in sorted(trains, key=means.get)[: max(0, number)]:
            frozen[key] = step + 1
    return frozen


def test_loop_freezes_what_the_formulas_say():
    model = adapted(freeze_start=0.1, freeze_end=0.8)
    controller, grads, _ = train(model, 60)
    pool = [(matrix.module, matrix.name) for matrix in controller.pool]
    assert len(pool) == 8 and controller.schedule.window == 4
    expected = reference_freezing(grads, controller.schedule, pool)
    assert controller.frozen() == expected and len(expected) == 8
    assert len(set(expected.values())) > 4  # one by one
    vectors = 4 * 3 + (6 + 10 + 6 + 6)
    average = vectors + sum(m.weight.numel() * expected[m.module, m.name] for m in controller.pool) / 60
    assert controller.average_trainable_parameters() == pytest.approx(average)
    assert controller.trainable_parameters() == vectors


def test_frozen_never_changes_and_its_momenta_are_gone():
    model = adapted(freeze_start=0.1, freeze_end=0.5)
    controller = FreezeController(model, 40)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    snapshots = {}
    for step in range(40):
        model(torch.randint(11, (4, 5))).square().mean().backward()
        optimizer.step()
        for matrix in controller.step(step, optimizer):
            snapshots[matrix] = matrix.weight.detach().clone()
        optimizer.zero_grad()
    assert len(snapshots) == 8
    for matrix, value in snapshots.items():
        assert torch.equal(matrix.weight, value) and matrix.weight.grad is None
        assert matrix.weight not in optimizer.state
    assert optimizer.state  # d and b have theirs


def test_calls_in_the_wrong_place_are_refused():
    model = adapted()
    controller = FreezeController(model, 10)
    with pytest.raises(ValueError, match="after the backward pass and before zero_grad"):
        controller.step(0)
    with pytest.raises(ValueError, match="no AFLoRA adapter 'other'"):
        FreezeController(model, 10, adapter="other")
    with pytest.raises(ValueError, match="one active AFLoRA adapter; active are none"):
        FreezeController(nn.Linear(2, 2), 10)
    with pytest.raises(ValueError, match=r"resumed after step 5.*no freezing state"):
        FreezeController(adapted(), 10, first_step=5)


def test_a_matrix_without_gradient_counts_as_zero():
    model = adapted()
    controller = FreezeController(model, 10)
    model(torch.randint(11, (4, 5))).sum().backward()
    controller.pool[0].weight.grad = None
    controller.step(0)
    assert not controller.pool[0].state.window.any() and controller.pool[1].state.window.any()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_gradients_are_unscaled_when_they_are_scored(fused, clip):
    """After the step of a gradient scaler they are, whoever divides: the scaler or a fused optimizer."""
    model = adapted()
    controller = FreezeController(model, 10)
    trains = [p for p in model.parameters() if p.requires_grad]
    optimizer, scaler = torch.optim.AdamW(trains, lr=1e-3, fused=fused), torch.amp.GradScaler("cpu", init_scale=256.0)
    loss = model(torch.randint(11, (4, 5))).square().mean()
    expected = torch.autograd.grad(loss, [matrix.weight for matrix in controller.pool], retain_graph=True)
    scaler.scale(loss).backward()
    if clip:
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(trains, 1e9)
    scaler.step(optimizer)
    controller.step(0, optimizer)
    for matrix, grad in zip(controller.pool, expected, strict=True):
        torch.testing.assert_close(matrix.state.window, grad.abs())


# ---------------------------------------------------------------------- saved and loaded


def training_matrices(model) -> list[str]:
    return [n for n, p in model.named_parameters() if p.requires_grad and (".aflr_A" in n or ".aflr_B" in n)]


def test_state_is_saved_during_the_training_only(tmp_path):
    model = adapted(freeze_start=0.1, freeze_end=0.5)
    controller, *_ = train(model, 20)
    four = 4 * 4  # tensors of four modules
    model.save_pretrained(tmp_path / "during")
    saved = load_file(tmp_path / "during" / "adapter_model.safetensors")
    assert sum(".aflr_state." in key for key in saved) == 8 and len(saved) == four + 8
    controller.finish()
    model.save_pretrained(tmp_path / "after")
    assert len(load_file(tmp_path / "after" / "adapter_model.safetensors")) == four
    assert controller.frozen() and not training_matrices(model)


def test_loading_freezes_nothing_until_the_training_goes_on(tmp_path):
    """An optimizer made after loading has all that the saved one had. For inference the state is not even kept."""
    model = adapted(freeze_start=0.1, freeze_end=0.5, freeze_from_start=["wide"])
    controller = FreezeController(model, 40)
    for step in range(12):
        model(torch.randint(11, (4, 5))).square().mean().backward()
        controller.step(step)
        model.zero_grad()
    frozen = controller.frozen()
    assert 0 < len(frozen) < 6
    model.save_pretrained(tmp_path)
    base = model.unload()
    resumed = PeftModel.from_pretrained(base, tmp_path, is_trainable=True)
    assert len(training_matrices(resumed)) == 6
    again = FreezeController(resumed, 40, first_step=12)
    assert again.frozen() == frozen and len(training_matrices(resumed)) == 6 - len(frozen)
    for ours, theirs in zip(controller.pool, again.pool, strict=True):
        assert ours.state.seen == theirs.state.seen
        for name in ("window", "mean", "spread") if ours.state.frozen_at is None else ():
            assert torch.equal(getattr(ours.state, name), getattr(theirs.state, name))
    base = resumed.unload()
    loaded = PeftModel.from_pretrained(base, tmp_path)
    kept = [state for layer in branches(loaded).values() for state in layer.matrices["default"].values()]
    assert [state.frozen_at for state in kept] == [0, 0]  # of what the config freezes from the start
    ids = torch.randint(11, (2, 5))
    expected = loaded(ids)
    fresh = FreezeController(PeftModel.from_pretrained(loaded.unload(), tmp_path, is_trainable=True), 40)
    assert not fresh.frozen() and len(fresh.pool) == 6  # a new training, e.g. on another task, starts afresh
    assert torch.equal(expected, PeftModel.from_pretrained(base, tmp_path)(ids))


def test_loading_into_a_frozen_model_thaws_it(tmp_path):
    """A new Trainer on a model in memory resumes an earlier checkpoint: what was frozen later trains again."""
    model = adapted(freeze_start=0.1, freeze_end=0.5, freeze_from_start=["wide"])
    model.save_pretrained(tmp_path)
    train(model, 20)
    assert not training_matrices(model)
    model.load_adapter(tmp_path, "default", is_trainable=True)
    assert len(training_matrices(model)) == 6
    with model.disable_adapter():
        model.load_adapter(tmp_path, "default", is_trainable=True)
        assert not training_matrices(model)

"""AFLoRA: forward and gradients, schedule and scores against plain formulas, freezing, counts."""

import math

import pytest
import torch
from peft import PeftModel, VeraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import BertConfig, BertModel, DebertaV2Config, DebertaV2Model, LlamaConfig, LlamaModel
from transformers.pytorch_utils import Conv1D

from ginets.tuners import AFLoraConfig, FreezeController
from ginets.tuners.aflora import FreezeSchedule
from ginets.tuners.aflora.model import layers_with
from ginets.tuners.aflora.scores import MatrixState, by_element, by_matrix, observe


FFN = ["intermediate.dense", "output.dense"]


class Net(nn.Module):
    """One layer of each kind."""

    def __init__(self):
        super().__init__()
        self.words, self.wide = nn.Embedding(11, 6), nn.Linear(6, 10)
        self.conv, self.square = Conv1D(6, 10), nn.Linear(6, 6, bias=False)

    def forward(self, ids):
        return self.square(self.conv(self.wide(self.words(ids)).tanh()).tanh())


def adapted(model=None, **options):
    config = {"target_modules": ["words", "wide", "conv", "square"], "r": 3, "init_weights": False} | options
    return get_peft_model(model or Net(), AFLoraConfig(**config))


def branches(model, adapter="default"):
    return {name.removeprefix("base_model.model."): layer for name, layer in layers_with(model, adapter).items()}


def tiny_bert(**options):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return BertModel(BertConfig(vocab_size=30, **sizes, **options), add_pooling_layer=False)


# ---------------------------------------------------------------------- the layer


@pytest.mark.parametrize("alpha", [None, 12])
def test_forward_and_gradients_are_the_formula(alpha):
    """y = W x + s · b ⊙ B (d ⊙ A x), in value and in the gradient of all four tensors and of x; s is 1 or α/r."""
    model = adapted(aflora_alpha=alpha).double()
    scale = 1.0 if alpha is None else alpha / 3
    inputs = {"words": torch.randint(11, (4, 5))} | {
        name: torch.randn(4, 5, width, dtype=torch.double, requires_grad=True)
        for name, width in (("wide", 6), ("conv", 10), ("square", 6))
    }
    for name, layer in branches(model).items():
        x, base = inputs[name], layer.get_base_layer()
        tensors = [layer.weight_of(each, "default") for each in "ABdb"]
        down, up, d, b = tensors
        h = down[:, x].permute(1, 2, 0) if name == "words" else torch.einsum("...i,ri->...r", x, down)
        expected = base(x) + scale * b * torch.einsum("...r,kr->...k", d * h, up)
        wanted = tensors if name == "words" else [*tensors, x]
        found = layer(x)
        torch.testing.assert_close(found, expected)
        assert not torch.equal(found, base(x))
        cotangent = torch.randn_like(found)
        for ours, naive in zip(
            torch.autograd.grad(found, wanted, cotangent),
            torch.autograd.grad(expected, wanted, cotangent),
            strict=True,
        ):
            torch.testing.assert_close(ours, naive)


def test_start():
    """A and B from U(±√(6/fan_in)), d = 0.1, b = 0: the adapted model is the base model."""
    net, ids = Net(), torch.randint(11, (2, 5))
    before = net(ids)
    model = adapted(net, init_weights=True, r=200)
    assert torch.equal(model(ids), before)
    layer = branches(model)["wide"]
    for matrix, fan_in in (("A", 6), ("B", 200)):
        weight, bound = layer.weight_of(matrix, "default"), math.sqrt(6 / fan_in)
        assert 0.98 * bound < weight.abs().max() <= bound
    assert (layer.weight_of("d", "default") == 0.1).all() and (layer.weight_of("b", "default") == 0).all()
    other = branches(adapted(init_weights=True, d_init=1, b_init=0.5, projection_init="xavier_normal"))["wide"]
    assert (other.weight_of("d", "default") == 1).all() and (other.weight_of("b", "default") == 0.5).all()
    assert other.weight_of("A", "default").abs().max() > 0


def test_all_frozen_is_vera():
    """With `freeze_from_start="all"` only d and b train, and PEFT's VeRA computes the same, in value and gradient."""
    options = {"target_modules": ["wide"], "r": 3}
    vera = get_peft_model(Net(), VeraConfig(**options, init_weights=False)).base_model.model.wide
    ours = branches(adapted(target_modules=["wide"], freeze_from_start="all"))["wide"]
    trains = {name for name, parameter in ours.named_parameters() if parameter.requires_grad}
    assert trains == {"aflora_d.default", "aflora_b.default"}
    with torch.no_grad():
        ours.get_base_layer().load_state_dict(vera.get_base_layer().state_dict())
        vera.vera_A["default"][:3, :6] = ours.weight_of("A", "default")
        vera.vera_B["default"][:10, :3] = ours.weight_of("B", "default")
        vera.vera_lambda_d["default"].copy_(ours.weight_of("d", "default"))
        vera.vera_lambda_b["default"].copy_(ours.weight_of("b", "default"))
    x = torch.randn(4, 6)
    torch.testing.assert_close(ours(x), vera(x))
    for layer in (ours, vera):
        layer(x).square().sum().backward()
    for name, stock in (("d", vera.vera_lambda_d), ("b", vera.vera_lambda_b)):
        torch.testing.assert_close(ours.weight_of(name, "default").grad, stock["default"].grad)


def test_merges_exactly_with_some_frozen():
    model, ids = adapted(aflora_alpha=6).double(), torch.randint(11, (2, 5))
    branches(model)["wide"].freeze("default", "A", 1)
    expected = model(ids)
    model.merge_adapter()
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-12)
    model.unmerge_adapter()
    torch.testing.assert_close(model(ids), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.merge_and_unload()(ids), expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------- frozen


def test_a_frozen_matrix_costs_nothing():
    """No gradient, and with A frozen the branch does not keep its wide input for the backward pass."""
    layer = branches(adapted())["wide"]

    def kept_wide() -> int:
        sizes = []
        x = torch.randn(50, 6, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.shape) or t, lambda t: t):
            layer(x).sum().backward()
        return sizes.count(torch.Size([50, 6])) + sizes.count(torch.Size([50, 10]))

    assert kept_wide() == 1
    layer.freeze("default", "A", 1)
    assert kept_wide() == 0
    layer.freeze("default", "B", 1)
    layer(torch.randn(4, 6)).sum().backward()
    assert [layer.weight_of(name, "default").grad is None for name in "ABdb"] == [True, True, False, False]


def test_frozen_stays_frozen():
    """Through switching, disabling, a pass without the adapter, and a second adapter, which is not frozen."""
    model = adapted()
    layer = branches(model)["wide"]
    layer.freeze("default", "B", 7)

    def flags(adapter):
        return [layer.weight_of(name, adapter).requires_grad for name in "ABdb"]

    frozen = [True, False, True, True]
    with model.disable_adapter():
        assert not any(flags("default"))
    assert flags("default") == frozen
    model.add_adapter("other", AFLoraConfig(target_modules=["wide"], r=2))
    model.set_adapter("other")
    assert flags("other") == [True] * 4 and not any(flags("default"))
    model.set_adapter("default")
    assert flags("default") == frozen
    model.base_model.set_requires_grad("default")
    assert flags("default") == frozen
    model.delete_adapter("other")
    assert "other" not in layer.matrices and flags("default") == frozen


def test_layers_do_not_share_what_is_frozen():
    model = adapted()
    layers = branches(model)
    layers["wide"].freeze("default", "A", 1)
    model.set_adapter("default")
    assert layers["square"].weight_of("A", "default").requires_grad


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        ("square", {"square"}),
        (["wide", "conv"], {"wide", "conv"}),
        (["square", "wide"], {"square", "wide"}),
        (None, set()),
    ],
)
def test_frozen_from_start(given, fixed):
    model = adapted(freeze_from_start=given)
    layers = branches(model)
    for name, layer in layers.items():
        expected = name not in fixed
        assert [layer.weight_of(m, "default").requires_grad for m in "ABdb"] == [expected, expected, True, True]
    assert {matrix.module for matrix in FreezeController(model, 10).pool} == set(layers) - fixed


def test_names_that_freeze_nothing_are_refused():
    with pytest.raises(ValueError, match=r"freeze_from_start has 'are'.*adapted are.*square"):
        adapted(freeze_from_start=["are"])


@pytest.mark.parametrize(
    "bad",
    [
        {"freeze_start": 0.4},
        {"freeze_end": 14},
        {"freeze_window": 0},
        {"freeze_rule": "median"},
        {"freeze_schedule": "linear"},
        {"freeze_beta1": 1.0},
        {"projection_init": "zeros"},
        {"d_init": "big"},
        {"use_rslora": True},
        {"freeze_from_start": [3]},
        {"aflora_dropout": 1.0},
        {"aflora_alpha": "16"},
    ],
)
def test_bad_values_are_refused_by_name(bad):
    (field,) = bad
    with pytest.raises(ValueError, match=rf"AFLoraConfig: {field} is .*; allowed: "):
        AFLoraConfig(**bad)


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


# ---------------------------------------------------------------------- counts


def on_meta(cls, config, **options):
    with torch.device("meta"):
        return get_peft_model(cls(config), AFLoraConfig(**options))


def counts(model) -> tuple[int, int]:
    """d and b; A and B."""
    sizes = {"vectors": 0, "matrices": 0}
    for layer in branches(model).values():
        for name in "ABdb":
            weight = layer.weight_of(name, "default")
            sizes["vectors" if name in "db" else "matrices"] += weight.numel() * weight.requires_grad
    return sizes["vectors"], sizes["matrices"]


def test_published_counts():
    """DeBERTa-v3-base, r = 4, as on GLUE; ELoRA at rank 1024; Llama-2-7B, r = 32, as on GSM8K."""
    sizes = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    deberta = DebertaV2Config(vocab_size=100, relative_attention=True, **sizes)
    glue = on_meta(DebertaV2Model, deberta, r=4, freeze_from_start="square")
    assert counts(glue) == (83_232, 368_640)
    assert FreezeController(glue, 100).trainable_parameters() == 451_872
    assert glue.get_nb_trainable_parameters()[0] == 451_872
    assert counts(on_meta(DebertaV2Model, deberta, r=1024, freeze_from_start="all")) == (156_672, 0)
    llama = LlamaConfig(vocab_size=100, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32)
    assert counts(on_meta(LlamaModel, llama, r=32)) == (881_664, 56_098_816)


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
    return [n for n, p in model.named_parameters() if p.requires_grad and (".aflora_A" in n or ".aflora_B" in n)]


def test_state_is_saved_during_the_training_only(tmp_path):
    model = adapted(freeze_start=0.1, freeze_end=0.5)
    controller, *_ = train(model, 20)
    four = 4 * 4  # tensors of four modules
    model.save_pretrained(tmp_path / "during")
    saved = load_file(tmp_path / "during" / "adapter_model.safetensors")
    assert sum(".aflora_state." in key for key in saved) == 8 and len(saved) == four + 8
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


def test_default_targets():
    """Attention and feed-forward, as published."""
    layers = branches(get_peft_model(tiny_bert(), AFLoraConfig(r=2)))
    per_layer = {name.split("layer.0.")[1] for name in layers if "layer.0." in name}
    assert per_layer == {f"attention.self.{x}" for x in ("query", "key", "value")} | {"attention.output.dense", *FFN}

"""AFLoRA with a Trainer: accumulation, clipping, resuming, the best checkpoint, several processes."""

import csv
import shutil

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from ginets.tuners import AFLoraCallback, AFLoraConfig

from .test_aflora_freezing import reference_freezing, training_matrices


SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
ROWS = [{"input_ids": [5 + (7 * i + j * j) % 25 for j in range(6)], "labels": i % 2} for i in range(48)]


def base():
    set_seed(1)
    return BertForSequenceClassification(BertConfig(**SIZES, intermediate_size=24, max_position_embeddings=16))


def adapted(**options):
    # all of the training is in the middle phase, so that short runs see it
    defaults = {"r": 3, "task_type": "SEQ_CLS", "freeze_start": 0.1, "freeze_end": 0.8, "aflora_dropout": 0.1}
    return get_peft_model(base(), AFLoraConfig(**defaults | options))


def trainer(folder, model=None, callbacks=(), steps=36, eval_dataset=None, **arguments):
    settings = {
        "per_device_train_batch_size": 4,
        "max_steps": steps,
        "learning_rate": 2e-2,
        "weight_decay": 0.1,
        "save_strategy": "no",
        "logging_steps": 100,
        "use_cpu": True,
        "disable_tqdm": True,
        "report_to": "none",
    }
    arguments = TrainingArguments(str(folder), **settings | arguments)
    callbacks = [*callbacks, AFLoraCallback()]
    return Trainer(model or adapted(), arguments, train_dataset=ROWS, eval_dataset=eval_dataset, callbacks=callbacks)


def controller_of(trainer):
    return next(c for c in trainer.callback_handler.callbacks if isinstance(c, AFLoraCallback)).controller


def log_of(folder) -> list[list[str]]:
    with open(folder / "freeze_log.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def difference(one: dict, other: dict) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


class Recorder(TrainerCallback):
    """Notes the gradients that the optimizer used, before the callback under test sees them."""

    def __init__(self):
        self.steps, self.micro = [], 0

    def on_substep_end(self, *args, **kwargs):
        self.micro += 1

    def on_optimizer_step(self, args, state, control, model=None, **kwargs):
        named = {
            tuple(name.removeprefix("base_model.model.").removesuffix(".default.weight").split(".aflr_")): weight.grad
            for name, weight in model.named_parameters()
            if (".aflr_A." in name or ".aflr_B." in name) and weight.grad is not None
        }
        self.steps.append({key: grad.clone() for key, grad in named.items()})


@pytest.mark.parametrize("accumulation", [1, 3])
def test_freezes_what_the_formulas_say(tmp_path, accumulation):
    """On the gradients of a real training, clipped and accumulated: once per optimizer step."""
    recorder = Recorder()
    run = trainer(
        tmp_path, callbacks=[recorder], steps=24, gradient_accumulation_steps=accumulation, max_grad_norm=0.05
    )
    run.train()
    controller = controller_of(run)
    assert len(recorder.steps) == 24 and recorder.micro == 24 * (accumulation - 1)
    pool = list(recorder.steps[0])
    assert len(pool) == 2 * 6 * 2
    expected = reference_freezing(recorder.steps, controller.schedule, pool)
    assert len(expected) == len(pool) and len(set(expected.values())) > 6
    assert controller.frozen() == expected
    log = log_of(tmp_path)
    assert log[0] == ["step", "module", "matrix"]
    assert {(module, matrix): int(step) for step, module, matrix in log[1:]} == expected
    assert [int(line[0]) for line in log[1:]] == sorted(expected.values())


def test_gradients_are_clipped(tmp_path):
    """What is scored is what the optimizer used: the gradients after clipping."""
    scored = {}

    class Windows(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            scored[args.max_grad_norm] = [matrix.state.window.clone() for matrix in controller_of(run).pool]

    for limit in (0.0, 1e-4):
        arguments = {"steps": 1, "max_grad_norm": limit, "logging_steps": 1}
        run = trainer(tmp_path, adapted(b_init=0.1), [Windows()], **arguments)
        run.train()
    norm = run.state.log_history[0]["grad_norm"]
    assert norm > 1e-3 and scored[0.0][0].any()
    torch.testing.assert_close(scored[1e-4], [window * (1e-4 / norm) for window in scored[0.0]], rtol=1e-3, atol=0)


def test_frozen_never_changes_again(tmp_path):
    class Watch(TrainerCallback):
        seen: dict = {}

        def on_step_end(self, args, state, control, **kwargs):
            for matrix in controller_of(run).pool:
                if matrix.state.frozen_at is not None:
                    value = self.seen.setdefault(matrix, matrix.weight.detach().clone())
                    assert torch.equal(matrix.weight, value) and matrix.weight.grad is None
                    assert matrix.weight not in run.optimizer.state

    run = trainer(tmp_path, callbacks=[Watch()])
    run.train()
    assert len(Watch.seen) == 24 and not training_matrices(run.model)
    assert any(parameter.requires_grad for parameter in run.model.parameters())


# the warm-up ends at 4, the tail starts at 29
@pytest.mark.parametrize("step", [3, 14, 33])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path, step):
    whole = trainer(tmp_path / "whole", save_strategy="steps", save_steps=step, save_total_limit=None)
    whole.train()
    kept = tmp_path / "again" / f"checkpoint-{step}"
    shutil.copytree(tmp_path / "whole" / f"checkpoint-{step}", kept)
    # a log that goes further than the checkpoint, as an interrupted run leaves it
    shutil.copy(tmp_path / "whole" / "freeze_log.csv", tmp_path / "again")
    resumed = trainer(tmp_path / "again")
    resumed.train(resume_from_checkpoint=str(kept))
    assert difference(weights(whole.model), weights(resumed.model)) == 0.0
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "again")
    assert controller_of(whole).frozen() == controller_of(resumed).frozen()
    for key in ("average_trainable_parameters", "trainable_parameters"):
        assert whole.state.log_history[-1][key] == resumed.state.log_history[-1][key]


def test_resumed_with_a_model_that_is_frozen_already(tmp_path):
    """A new Trainer on the same model in memory: its optimizer has to fit the one of the checkpoint."""
    first = trainer(tmp_path, save_strategy="steps", save_steps=14)
    first.train()
    expected = weights(first.model)
    second = trainer(tmp_path / "second", model=first.model)
    second.train(resume_from_checkpoint=str(tmp_path / "checkpoint-14"))
    assert difference(expected, weights(second.model)) == 0.0


def test_resuming_without_state_is_refused(tmp_path):
    plain = trainer(tmp_path, save_strategy="steps", save_steps=10)
    plain.remove_callback(AFLoraCallback)
    plain.train()
    with pytest.raises(ValueError, match=r"resumed after step 10.*written without AFLoraCallback"):
        trainer(tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))


def test_saved_adapter_and_figures(tmp_path):
    """After the training: four tensors a module, equal outputs when loaded, the paper's average in the state."""
    run = trainer(tmp_path / "run")
    run.train()
    run.save_model(tmp_path / "final")
    saved = load_file(tmp_path / "final" / "adapter_model.safetensors")
    assert {name.split(".aflr_")[1] for name in saved if ".aflr_" in name} == {"A.weight", "B.weight", "d", "b"}
    loaded = PeftModel.from_pretrained(base(), tmp_path / "final").eval()
    ids = torch.tensor([row["input_ids"] for row in ROWS[:4]])
    assert torch.equal(run.model.eval()(ids).logits, loaded(ids).logits)
    controller, figures = controller_of(run), run.state.log_history[-1]
    assert figures["trainable_parameters"] == 2 * (6 * 3 + 5 * 16 + 24)  # no classifier
    sizes = {(m.module, m.name): m.weight.numel() for m in controller.pool}
    by_step = [
        sum(size for key, size in sizes.items() if controller.frozen()[key] > step) + figures["trainable_parameters"]
        for step in range(36)
    ]
    assert figures["average_trainable_parameters"] == round(sum(by_step) / 36)


def test_best_model_at_end(tmp_path):
    """Its weights come from the checkpoint; what is frozen stays so, and the state is gone."""
    saving = {"save_strategy": "steps", "save_steps": 6, "eval_strategy": "steps", "eval_steps": 6}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "score", "greater_is_better": False}
    run = trainer(tmp_path, **saving, **best, eval_dataset=ROWS[:4])
    run.compute_metrics = lambda prediction: {"score": run.state.global_step}  # the first evaluation is the best
    run.train()
    assert run.state.best_model_checkpoint.endswith("checkpoint-6")
    saved = load_file(tmp_path / "checkpoint-6" / "adapter_model.safetensors")
    ours = run.model.state_dict()
    name = "base_model.model.bert.encoder.layer.0.attention.self.query.aflr_A"
    assert torch.equal(ours[f"{name}.default.weight"], saved[f"{name}.weight"])
    assert not training_matrices(run.model)
    run.save_model(tmp_path / "final")
    assert not any("state" in key for key in load_file(tmp_path / "final" / "adapter_model.safetensors"))


def test_skipped_steps_do_not_count(tmp_path):
    """A step that the gradient scaler skipped has gradients that are not finite."""
    seen = []

    class Overflow(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
            optimizer._is_overflow = state.global_step in (2, 20)
            for weight in model.parameters() if optimizer._is_overflow else ():
                if weight.grad is not None:
                    weight.grad.fill_(float("nan"))

        def on_step_end(self, args, state, control, **kwargs):
            states = [matrix.state for matrix in controller_of(run).trainable()]
            seen.append(all(s.window.isfinite().all() and s.spread.isfinite().all() for s in states))

    run = trainer(tmp_path, callbacks=[Overflow()], steps=24)
    run.train()
    assert len(seen) == 24 and all(seen) and len(controller_of(run).frozen()) == 24


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_short_runs(tmp_path, steps):
    """They end with everything frozen, and one by one as far as there are steps."""
    run = trainer(tmp_path, steps=steps)
    run.train()
    frozen = controller_of(run).frozen()
    assert len(frozen) == (24 if steps > 1 else 0)
    assert len(set(frozen.values())) >= min(steps - 1, 4)


def test_new_task_from_a_trained_adapter(tmp_path):
    """All of A and B train again."""
    run = trainer(tmp_path / "first")
    run.train()
    run.save_model(tmp_path / "adapter")
    model = PeftModel.from_pretrained(base(), tmp_path / "adapter", is_trainable=True)
    second = trainer(tmp_path / "second", model=model)
    second.train()
    assert len(controller_of(second).frozen()) == 24


def test_what_it_cannot_do_is_refused(tmp_path):
    with pytest.raises(ValueError, match="active are none"):
        trainer(tmp_path, model=base()).train()
    arguments = TrainingArguments(str(tmp_path), use_cpu=True)
    arguments.deepspeed_plugin = object()  # as `accelerate launch` sets it
    with pytest.raises(ValueError, match="deepspeed keeps them to itself"):
        AFLoraCallback().on_train_begin(arguments, None, None)

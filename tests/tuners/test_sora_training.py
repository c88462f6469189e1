"""SoRA with a Trainer: accumulation, clipping, resuming, what is saved when."""

import json

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

from ginets.tuners import SoraCallback, SoraConfig, train_gates


ROWS = [
    {"input_ids": torch.randint(5, 50, (6,), generator=torch.Generator().manual_seed(i)).tolist(), "labels": i % 2}
    for i in range(16)
]


def base(**sizes) -> BertForSequenceClassification:
    torch.manual_seed(0)
    small = {"vocab_size": 50, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24}
    return BertForSequenceClassification(BertConfig(num_hidden_layers=2, **small | sizes))


def adapted(sizes=(), **fields) -> PeftModel:
    config = SoraConfig(
        **{"r": 4, "task_type": "SEQ_CLS", "init_weights": False, "init_gate": "normal"}
        | {"sparse_lambda": 0.02, "gate_lr": 4.0}
        | fields
    )
    return get_peft_model(base(**dict(sizes)), config)


def trainer(model, folder, callback=None, **arguments) -> Trainer:
    defaults = {
        "per_device_train_batch_size": 4,
        "max_steps": 6,
        "learning_rate": 1e-2,
        "weight_decay": 0.1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    args = TrainingArguments(str(folder), **defaults | arguments)
    return Trainer(model, args, train_dataset=ROWS, eval_dataset=ROWS, callbacks=[callback or SoraCallback()])


def gates(model) -> torch.Tensor:
    return torch.cat([p.detach() for name, p in model.named_parameters() if ".sora_gate." in name])


def state(model) -> dict[str, torch.Tensor]:
    return {
        name: p.detach().clone() for name, p in model.named_parameters() if "sora_" in name or "classifier" in name
    }


def difference(one: dict, other: dict) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one | other)


def test_resumed_equals_uninterrupted(tmp_path):
    whole = adapted(lambda_warmup=5)
    keep = SoraCallback(prune=False)
    trainer(whole, tmp_path / "whole", keep, save_strategy="steps", save_steps=3).train()
    assert 0 < (gates(whole) == 0).sum() < gates(whole).numel()
    resumed = adapted(lambda_warmup=5)
    resumed_trainer = trainer(resumed, tmp_path / "whole", SoraCallback(prune=False))
    resumed_trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert difference(state(whole), state(resumed)) == 0.0


def test_accumulated_steps_equal_a_loop_with_large_batches(tmp_path):
    """Also says that the gates see clipped gradients, and the learning rate of the step."""
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = adapted(quiet, gate_lr=None, sparse_lambda=0.5)
    arguments = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, "max_grad_norm": 0.05}
    mine = trainer(model, tmp_path, SoraCallback(prune=False), max_steps=2, learning_rate=0.5, **arguments)
    batches = list(mine.get_train_dataloader())
    ids, labels = (torch.cat([batch[name] for batch in batches]) for name in ("input_ids", "labels"))
    mine.train()

    reference = adapted(quiet, gate_lr=None, sparse_lambda=0.5)
    parameters = [p for p in reference.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.5, weight_decay=0.1)
    train_gates(reference, optimizer)
    for step in range(2):
        rows = slice(step * 8, step * 8 + 8)
        reference(input_ids=ids[rows], labels=labels[rows]).loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.05)
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * (1 - step / 2)
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(gates(model), gates(reference), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("best", [False, True])
def test_checkpoints_keep_all_ranks_and_the_end_prunes(tmp_path, best):
    model = adapted()
    extra = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3} if best else {}
    mine = trainer(model, tmp_path, save_strategy="steps", save_steps=3, **extra)
    mine.train()
    for step in (3, 6):
        saved = load_file(tmp_path / f"checkpoint-{step}" / "adapter_model.safetensors")
        assert {len(tensor) for name, tensor in saved.items() if "gate" in name} == {4}
    mine.save_model(tmp_path / "final")
    saved = load_file(tmp_path / "final" / "adapter_model.safetensors")
    ranks = {name: len(tensor) for name, tensor in saved.items() if "gate" in name}
    assert min(ranks.values()) < 4
    config = json.loads((tmp_path / "final" / "adapter_config.json").read_text())
    assert sorted(config["rank_pattern"].values()) == sorted(ranks.values())
    ids = torch.tensor([row["input_ids"] for row in ROWS])
    loaded = PeftModel.from_pretrained(base(), tmp_path / "final").eval()
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)


def test_a_model_without_gates_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no SoRA adapter"):
        trainer(base(), tmp_path).train()

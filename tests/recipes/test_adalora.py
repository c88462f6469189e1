"""AdaLoRA's orthogonality: the term that PEFT adds to some losses, and the recipes to the others."""

import pytest
import torch
from peft import AdaLoraConfig, get_peft_model
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from ginets.recipes.adalora import orthogonality
from ginets.recipes.arguments import RecipeTrainingArguments
from ginets.recipes.trainer import RecipeTrainer


SHAPE = {
    "vocab_size": 20,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
WEIGHT = 0.7


def adapted(model_class, task: str | None):
    torch.manual_seed(0)
    config = AdaLoraConfig(
        init_r=4, target_r=2, total_step=9, orth_reg_weight=WEIGHT, target_modules=["query"], task_type=task
    )
    model = get_peft_model(model_class(BertConfig(**SHAPE)), config).eval()
    tensors = [tensor for name, tensor in model.named_parameters() if "lora_A" in name or "lora_B" in name]
    with torch.no_grad():
        for tensor in tensors:
            tensor.normal_(std=0.5)
    return model, tensors


def naive(tensors) -> torch.Tensor:
    """Frobenius norms, entry by entry; A is wide, B is tall."""
    norms = []
    for tensor in tensors:
        triplets = tensor if tensor.shape[0] < tensor.shape[1] else tensor.T
        entries = [(a @ b - int(i == j)) ** 2 for i, a in enumerate(triplets) for j, b in enumerate(triplets)]
        norms.append(torch.stack(entries).sum().sqrt())
    return WEIGHT * sum(norms) / len(norms)


def test_term_is_that_of_peft():
    """In value and gradient."""
    model, tensors = adapted(BertForSequenceClassification, "SEQ_CLS")
    inputs = {"input_ids": torch.arange(4, 12)[None], "labels": torch.tensor([1])}
    added = model(**inputs).loss - model.get_base_model()(**inputs).loss
    ours, expected = orthogonality(model), naive(tensors)
    torch.testing.assert_close(ours, added)
    torch.testing.assert_close(ours, expected)
    for other in (added, expected):
        for mine, theirs in zip(torch.autograd.grad(ours, tensors, retain_graph=True), torch.autograd.grad(other, tensors), strict=True):  # fmt: skip
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("own_loss", [False, True])
@pytest.mark.parametrize("model_class,task,labels", [
    (BertForSequenceClassification, "SEQ_CLS", {"labels": torch.tensor([1])}),
    (BertForQuestionAnswering, None, {"start_positions": torch.tensor([1]), "end_positions": torch.tensor([2])}),
])  # fmt: skip
def test_every_loss_in_training_has_the_term_once(model_class, task, labels, own_loss, tmp_path):
    """Whoever computes it; none in evaluation, where the recipe does."""
    model, tensors = adapted(model_class, task)
    trainer = RecipeTrainer(
        model=model,
        args=RecipeTrainingArguments(str(tmp_path), use_cpu=True),
        compute_loss_func=(lambda outputs, labels, num_items_in_batch: torch.tensor(2.0)) if own_loss else None,
        rates={},
    )
    trainer.current_gradient_accumulation_steps = 4
    inputs = {"input_ids": torch.arange(4, 12)[None], **labels}
    plain = torch.tensor(2.0) if own_loss else model.get_base_model()(**inputs).loss
    # a loss of our own is not divided by the number of its parts
    torch.testing.assert_close(
        trainer.compute_loss(model, dict(inputs)) - plain, naive(tensors) / (4 if own_loss else 1)
    )
    if own_loss:
        with torch.no_grad():
            assert trainer.compute_loss(model, dict(inputs)) == 2.0

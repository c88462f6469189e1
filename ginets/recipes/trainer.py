"""The `Trainer` of the classification recipe."""

import numpy as np
import torch
from torch.utils.data import SequentialSampler
from transformers import (
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedTokenizerBase,
    Trainer,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..data.glue import Examples
from ..metrics.glue import compute
from .adapted import AdapterArguments, is_adapted
from .arguments import RecipeTrainingArguments
from .glue_data import DataArguments
from .methods import METHODS
from .optimizer import split_groups
from .saved_adapters import save_base_config


class LengthGroupedByEpoch(LengthGroupedSampler):
    """Groups by length in an order that seed and epoch decide.

    The stock sampler draws from the global generator, whose state at the start of an epoch a run that is resumed in
    its middle does not know.
    """

    def __init__(self, stock: LengthGroupedSampler, seed: int):
        super().__init__(stock.batch_size, lengths=stock.lengths)
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.generator = torch.Generator().manual_seed(self.seed + epoch)


class RecipeTrainer(Trainer):
    """Sees to the order of rows, to learning rates of parts of the model, and to what is saved with an adapter."""

    def __init__(self, *args, rates: dict[str, float | None], **kwargs):
        self.rates = rates
        super().__init__(*args, **kwargs)

    def _get_eval_sampler(self, eval_dataset):
        # When training batches are grouped by length, the stock sampler shuffles evaluation, too, and predictions no
        # longer belong to the rows they stand beside.
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    def _get_train_sampler(self, train_dataset=None):
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
            return LengthGroupedByEpoch(sampler, seed)
        return sampler

    def create_optimizer(self, model=None):
        created = self.optimizer is None
        optimizer = super().create_optimizer(model)
        if created:
            split_groups(optimizer, self.model if model is None else model, self.rates)
        return optimizer

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False):
        super().save_model(output_dir, _internal_call)
        if is_adapted(self.model) and self.args.should_save:
            save_base_config(self.model, output_dir or self.args.output_dir)


def make_trainer(
    model,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    splits: dict,
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
    adapter_args: AdapterArguments,
) -> Trainer:
    """The trainer with the splits, metrics and callbacks that the arguments ask for."""

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        predicted, gold = decide(prediction.predictions, examples), prediction.label_ids
        if examples.task and examples.labels:
            # the head may number the classes otherwise, and F1 is that of the task's class 1
            ids = np.array([examples.task.labels.index(label) for label in examples.labels])
            predicted, gold = ids[predicted], ids[gold]
        return compute(examples.metrics, predicted, gold)

    callbacks = []
    if training_args.do_train and adapter_args.adapter != "none":
        callbacks += METHODS[adapter_args.adapter].callbacks
    if training_args.do_train and training_args.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(training_args.early_stopping_patience))
    return RecipeTrainer(
        model=model,
        args=training_args,
        train_dataset=splits.get("train") if training_args.do_train else None,
        eval_dataset=splits[next(iter(data_args.evaluations.values()))] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
        callbacks=callbacks,
        rates=adapter_args.rates,
    )


def decide(outputs_: np.ndarray | tuple, examples: Examples) -> np.ndarray:
    """Model outputs `(n, classes)` → class ids `(n,)`; for regression `(n, 1)` → scores `(n,)`."""
    logits = outputs_[0] if isinstance(outputs_, tuple) else outputs_
    return logits.argmax(axis=1) if examples.labels else logits.reshape(-1)

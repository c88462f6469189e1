"""The `Trainer` of the recipes, and a run of it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch.utils.data import SequentialSampler
from transformers import EarlyStoppingCallback, Trainer
from transformers.trainer_pt_utils import LengthGroupedSampler

from ..viz.runs import LIVE
from . import adalora
from .adapted import AdapterArguments, count_trainable, is_adapted
from .arguments import TASK_METRIC, ArgumentsError, RecipeTrainingArguments
from .live_log import LiveLog
from .methods import METHODS
from .optimizer import split_groups
from .resume import read_state
from .saved_adapters import save_base_config


ALL_RESULTS = "all_results.json"
LOWER_IS_BETTER = ("loss", "perplexity")
AVERAGE = "average_trainable_parameters"


class LengthGroupedByEpoch(LengthGroupedSampler):
    """Groups by length in an order that seed and epoch decide.

    The stock sampler draws from the global generator, whose state at the start of an epoch a run that is resumed in
    its middle does not know; and it groups for the batch of one process, so that several see another order than one.
    """

    def __init__(self, stock: LengthGroupedSampler, seed: int, processes: int):
        super().__init__(stock.batch_size * processes, lengths=stock.lengths)
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.generator = torch.Generator().manual_seed(self.seed + epoch)


class RecipeTrainer(Trainer):
    """Sees to the order of rows, to learning rates of parts of the model, and to what goes with an adapter."""

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
            return LengthGroupedByEpoch(sampler, seed, self.args.world_size)
        return sampler

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        ours = self.compute_loss_func is not None
        if torch.is_grad_enabled() and adalora.lacks_term(self.model, ours or self.label_smoother is not None):
            # a loss per item of the whole batch is not divided by the number of its parts later
            scaled = ours or (self.model_accepts_loss_kwargs and num_items_in_batch is not None)
            loss = loss + adalora.orthogonality(self.model) / (
                self.current_gradient_accumulation_steps if scaled else 1
            )
        return (loss, outputs) if return_outputs else loss

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


def callbacks(training_args: RecipeTrainingArguments, adapter_args: AdapterArguments) -> list:
    """The log of the training, what the adapter needs in it, and early stopping."""
    if not training_args.do_train:
        return []
    own = METHODS[adapter_args.adapter].callbacks if adapter_args.adapter != "none" else []
    patience = training_args.early_stopping_patience
    return [LiveLog(), *own, *([EarlyStoppingCallback(patience)] if patience else [])]


def settle_metric(training_args: RecipeTrainingArguments, known: Sequence[str]) -> None:
    """Fill in the task's own metric, the first of those known, or check the one that was asked for; and its direction."""
    metric = training_args.metric_for_best_model
    if metric == TASK_METRIC:
        metric = training_args.metric_for_best_model = known[0]
    elif metric and metric.removeprefix("eval_") not in known:
        raise ArgumentsError(f"--metric_for_best_model is {metric!r}; here it can be {', '.join(known)}.")
    if metric:  # `TrainingArguments` takes every name but loss for one where more is better
        training_args.greater_is_better = metric.removeprefix("eval_") not in LOWER_IS_BETTER


def train(trainer: Trainer, checkpoint: str | None, folder: Path, adapter: str) -> dict[str, float]:
    """Train, save the model (the best one, if so asked) with its tokenizer, and `train_results.json`."""
    counts = count_trainable(trainer.model)
    done = read_state(checkpoint)["global_step"] if checkpoint else 0  # later the checkpoint may be deleted
    if trainer.is_world_process_zero():
        (folder / ALL_RESULTS).unlink(missing_ok=True)  # it is written again when everything is done
    figures = trainer.train(resume_from_checkpoint=checkpoint).metrics
    if done == trainer.state.global_step:
        del figures["train_loss"]  # the checkpoint was the last one: no step was taken, and 0.0 is no loss
    figures |= {"train_samples": len(trainer.train_dataset), "adapter": adapter, **counts}
    # AFLoRA trains fewer and fewer; its callback logs how many on average
    if averages := [entry[AVERAGE] for entry in trainer.state.log_history if AVERAGE in entry]:
        figures[AVERAGE] = averages[-1]
    trainer.save_model()
    trainer.save_state()
    if trainer.is_world_process_zero():
        (folder / LIVE).unlink(missing_ok=True)
    trainer.log_metrics("train", figures)
    trainer.save_metrics("train", figures, combined=False)
    return figures


def save_all(trainer: Trainer, figures: Mapping[str, object]) -> None:
    """Write `all_results.json`, the mark of a run that has come to its end; those of earlier runs in the folder stay."""
    if trainer.is_world_process_zero():
        file = Path(trainer.args.output_dir) / ALL_RESULTS
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps({**before, **figures}, indent=4, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(file)

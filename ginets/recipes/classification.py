"""Fine-tuning for sentence and sentence-pair classification: GLUE, and csv/json data of the same form.

Order of work: arguments → data (columns, labels) → config and head → weights. Whatever is wrong with the input stops
the run before weights are read.
"""

import json
import logging
from pathlib import Path

import numpy as np
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Trainer,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from ..data.glue import Examples
from ..metrics.glue import compute
from . import outputs
from .arguments import (
    TASK_METRIC,
    ArgumentsError,
    GateArguments,
    ModelArguments,
    RecipeTrainingArguments,
)
from .glue_data import DataArguments, load_examples, position_limit, tokenize
from .heads import fit_head, head_labels, load_config


logger = logging.getLogger(__name__)


def run(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
    gate_args: GateArguments | None = None,
    command: str = "",
) -> dict[str, float]:
    """Train, evaluate and predict as the arguments say; `command` is what the model card gives for repeating it.

    Returns:
        All figures, as in `all_results.json`: `train_loss`, `eval_accuracy`, ...

    Raises:
        ArgumentsError, DataError, FlagError: the input cannot be used; no weights have been read.
    """
    gate_args = gate_args or GateArguments()
    checkpoint = check(model_args, training_args)
    examples = load_examples(
        data_args, training_args, model_args, head=lambda: head_labels(load_config(model_args, gate_args))
    )
    settle(training_args, examples)
    config = load_config(model_args, gate_args)
    fit_head(config, examples, model_args, training_args.do_train)
    tokenizer = load_tokenizer(model_args, config)
    splits = tokenize(examples, tokenizer, data_args, position_limit(config))

    set_seed(training_args.seed)
    trainer = make_trainer(load_model(model_args, config), tokenizer, examples, splits, data_args, training_args)
    folder = Path(training_args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    if training_args.do_train:
        figures |= train(trainer, checkpoint, folder)
    history = list(trainer.state.log_history)
    for prefix, chosen, wanted in (
        ("eval", data_args.evaluations, training_args.do_eval),
        ("predict", data_args.tests, training_args.do_predict),
    ):
        if wanted:
            figures |= predict(
                trainer, prefix, {suffix: splits[name] for suffix, name in chosen.items()}, chosen, examples
            )
    if training_args.do_train and trainer.is_world_process_zero():
        outputs.write_curve(folder, history, examples.metrics[0])
        outputs.write_card(
            folder, trainer.model.config, examples, figures, model_args, data_args, training_args, command
        )
    return figures


def check(model_args: ModelArguments, training_args: RecipeTrainingArguments) -> str | None:
    """Check what the arguments alone tell, and find the checkpoint to resume from."""
    if not model_args.model_name_or_path:
        raise ArgumentsError("--model_name_or_path is missing: a local model folder or a name on the Hub.")
    patience = training_args.early_stopping_patience
    if patience and training_args.do_train and not training_args.load_best_model_at_end:
        raise ArgumentsError("--early_stopping_patience needs --do_eval and --load_best_model_at_end.")
    folder = Path(training_args.output_dir)
    if file := next((path for path in (folder, *folder.parents) if path.is_file()), None):
        raise ArgumentsError(f"--output_dir is {str(folder)!r}, but {str(file)!r} is a file; name a folder.")
    return find_checkpoint(training_args, folder) if training_args.do_train else None


def find_checkpoint(training_args: RecipeTrainingArguments, folder: Path) -> str | None:
    """The checkpoint to go on from; refuses to mix runs, and to go on where nothing is left to do."""
    last = get_last_checkpoint(folder) if folder.is_dir() else None
    finished = (folder / "all_results.json").exists()
    wanted = training_args.resume_from_checkpoint
    checkpoint = last if wanted == "auto" else wanted
    if checkpoint:
        if not (Path(checkpoint) / "trainer_state.json").is_file():
            raise ArgumentsError(
                f"--resume_from_checkpoint is {checkpoint!r}, which is no checkpoint folder; `auto` finds the last."
            )
        if finished and is_complete(read_state(checkpoint), training_args):
            raise ArgumentsError(
                f"{folder} holds a finished run, and {checkpoint} is at its end; give more --num_train_epochs (or "
                f"patience) to train on, or evaluate it with --model_name_or_path {folder} and without --do_train."
            )
    elif wanted:
        logger.info("No checkpoint in %s: training starts from the beginning.", folder)
    elif last:
        # A second run would mix its checkpoints with these, and `auto` could later pick one of the old ones.
        raise ArgumentsError(
            f"{folder} holds checkpoints of {'a finished' if finished else 'an earlier'} run; "
            "give --resume_from_checkpoint auto to go on from them, or another --output_dir."
        )
    elif finished:
        logger.warning("%s holds a finished run: its files will be replaced.", folder)
    return checkpoint


def read_state(checkpoint: str) -> dict:
    """How far the run of a checkpoint had come."""
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))


def is_complete(state: dict, training_args: RecipeTrainingArguments) -> bool:
    """Whether a run in this state has nothing left to do: all steps, all epochs, or its patience is at an end."""
    stopping = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {}).get("attributes", {})
    patience = training_args.early_stopping_patience
    if patience and stopping.get("early_stopping_patience_counter", 0) >= patience:
        return True
    if training_args.max_steps > 0:
        return state["global_step"] >= training_args.max_steps
    return state["epoch"] >= training_args.num_train_epochs


def settle(training_args: RecipeTrainingArguments, examples: Examples) -> None:
    """Check the arguments that depend on the task, and fill in its own metric."""
    known = [*examples.metrics, *["combined_score"] * (len(examples.metrics) > 1), "loss"]
    metric = training_args.metric_for_best_model
    if metric == TASK_METRIC:
        training_args.metric_for_best_model = known[0]
    elif metric and metric.removeprefix("eval_") not in known:
        raise ArgumentsError(f"--metric_for_best_model is {metric!r}; here it can be {', '.join(known)}.")
    if training_args.label_smoothing_factor and not examples.labels:
        raise ArgumentsError("--label_smoothing_factor is for classes; the labels of this task are scores.")


def load_tokenizer(model_args: ModelArguments, config: PreTrainedConfig) -> PreTrainedTokenizerBase:
    """The tokenizer; one without a padding token (Llama, GPT-2) pads with its end token."""
    name = model_args.tokenizer_name or model_args.model_name_or_path
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            name, use_fast=model_args.use_fast_tokenizer, **model_args.hub_options
        )
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentsError(f"no tokenizer at {name!r} ({reason}); name one with --tokenizer_name.") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    if len(tokenizer) > config.vocab_size:
        raise ArgumentsError(
            f"the tokenizer {name!r} has {len(tokenizer)} tokens, the model only {config.vocab_size}; "
            "name the model's own with --tokenizer_name."
        )
    return tokenizer


def load_model(model_args: ModelArguments, config: PreTrainedConfig):
    """The model; the only place where weights are read, and safetensors the only format."""
    name = model_args.model_name_or_path
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            name,
            config=config,
            dtype=model_args.dtype,
            ignore_mismatched_sizes=model_args.ignore_mismatched_sizes,
            use_safetensors=True,
            **model_args.hub_options,
        )
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ArgumentsError(f"no weights at {name!r} ({reason}); they must be in safetensors files.") from error
    except RuntimeError as error:
        if "mismatch" not in str(error):
            raise
        raise ArgumentsError(
            f"the weights at {name!r} have other sizes than the config {model_args.config_name or name!r} says; "
            "give the config that belongs to them."
        ) from error


class InOrderTrainer(Trainer):
    """Evaluates in the order of the dataset, also when training batches are grouped by length.

    The stock sampler then shuffles evaluation, too, and predictions no longer belong to the rows they stand beside.
    """

    def _get_eval_sampler(self, eval_dataset):
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None


def make_trainer(
    model,
    tokenizer: PreTrainedTokenizerBase,
    examples: Examples,
    splits: dict,
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
) -> Trainer:
    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        predicted, gold = decide(prediction.predictions, examples), prediction.label_ids
        if examples.task and examples.labels:
            # the head may number the classes otherwise, and F1 is that of the task's class 1
            ids = np.array([examples.task.labels.index(label) for label in examples.labels])
            predicted, gold = ids[predicted], ids[gold]
        return compute(examples.metrics, predicted, gold)

    patience = training_args.early_stopping_patience
    return InOrderTrainer(
        model=model,
        args=training_args,
        train_dataset=splits.get("train") if training_args.do_train else None,
        eval_dataset=splits[next(iter(data_args.evaluations.values()))] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
        callbacks=[EarlyStoppingCallback(patience)] if patience and training_args.do_train else None,
    )


def decide(outputs_: np.ndarray | tuple, examples: Examples) -> np.ndarray:
    """Model outputs `(n, classes)` → class ids `(n,)`; for regression `(n, 1)` → scores `(n,)`."""
    logits = outputs_[0] if isinstance(outputs_, tuple) else outputs_
    return logits.argmax(axis=1) if examples.labels else logits.reshape(-1)


def train(trainer: Trainer, checkpoint: str | None, folder: Path) -> dict[str, float]:
    """Train, save the model (the best one, if so asked) with its tokenizer, and `train_results.json`."""
    if trainer.is_world_process_zero():
        (folder / "all_results.json").unlink(missing_ok=True)  # figures are added to it below
    figures = trainer.train(resume_from_checkpoint=checkpoint).metrics
    if checkpoint and read_state(checkpoint)["global_step"] == trainer.state.global_step:
        del figures["train_loss"]  # the checkpoint was the last one: no step was taken, and 0.0 is no loss
    figures["train_samples"] = len(trainer.train_dataset)
    trainer.save_model()
    trainer.save_state()
    trainer.log_metrics("train", figures)
    trainer.save_metrics("train", figures)
    return figures


def predict(trainer: Trainer, prefix: str, rows: dict, names: dict[str, str], examples: Examples) -> dict[str, float]:
    """Predict splits, write the predictions and `<prefix>_results.json`.

    Args:
        rows: metric suffix (`""` or `"_mm"`) → dataset.
        names: metric suffix → name of the split.
    """
    figures = {}
    for suffix, dataset in rows.items():
        result = trainer.predict(dataset, metric_key_prefix=prefix)
        figures |= {f"{key}{suffix}": value for key, value in result.metrics.items()}
        figures[f"{prefix}_samples{suffix}"] = len(dataset)
        if trainer.is_world_process_zero():
            folder, values = Path(trainer.args.output_dir), decide(result.predictions, examples)
            outputs.write_predictions(folder / f"predictions_{names[suffix]}.tsv", dataset, values, examples.labels)
            if prefix == "predict" and examples.task:
                outputs.write_submission(folder, names[suffix], examples, dataset, values)
    trainer.log_metrics(prefix, figures)
    trainer.save_metrics(prefix, figures)
    return figures

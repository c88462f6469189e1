"""Fine-tuning for sentence and sentence-pair classification: GLUE, and csv/json data of the same form.

Order of work: arguments → data (columns, labels) → config and head → adapter → weights. Whatever is wrong with the
input stops the run before weights are read.
"""

from pathlib import Path

import numpy as np
from transformers import DataCollatorWithPadding, EvalPrediction, PreTrainedTokenizerBase, Trainer

from ..data.glue import Examples
from ..metrics.glue import compute
from .adapted import AdapterArguments, planned_steps
from .arguments import ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments
from .glue_data import DataArguments, load_examples, tokenize
from .glue_outputs import about, write_predictions, write_submission
from .heads import CLASSIFICATION, fit_head, head_labels, load_config
from .model import find_trained, load_tokenizer, longest_input, make_model
from .outputs import write_card, write_pictures
from .resume import check
from .trainer import RecipeTrainer, callbacks, save_all, settle_metric, train


def run(
    model_args: ModelArguments,
    data_args: DataArguments,
    training_args: RecipeTrainingArguments,
    gate_args: GateArguments | None = None,
    command: str = "",
    adapter_args: AdapterArguments | None = None,
) -> dict[str, float]:
    """Train, evaluate and predict as the arguments say; `command` is what the model card gives for repeating it.

    Returns:
        All figures, as in `all_results.json`: `train_loss`, `eval_accuracy`, ...

    Raises:
        ArgumentsError, DataError, FlagError: the input cannot be used; no weights have been read.
    """
    gate_args, adapter_args = gate_args or GateArguments(), adapter_args or AdapterArguments()
    checkpoint = check(model_args, training_args, adapter_args.adapter)
    trained, model_args = find_trained(model_args, training_args, adapter_args)
    examples = load_examples(
        data_args, training_args, model_args, head=lambda: head_labels(load_config(model_args, gate_args))
    )
    settle(training_args, examples)
    config = load_config(model_args, gate_args)
    fit_head(config, examples, model_args, training_args.do_train, trained.path if trained else None)
    tokenizer = load_tokenizer(model_args, config)
    splits = tokenize(examples, tokenizer, data_args, longest_input(data_args.max_seq_length, tokenizer, config))
    steps = planned_steps(training_args, len(splits.get("train", ())))
    model = make_model(model_args, adapter_args, config, CLASSIFICATION, trained, steps, training_args.seed)
    trainer = make_trainer(model, tokenizer, examples, splits, data_args, training_args, adapter_args)
    folder = Path(training_args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    if training_args.do_train:
        figures |= train(trainer, checkpoint, folder, adapter_args.adapter)
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
        write_pictures(folder, history, examples.metrics[0], adapter_args.adapter)
        write_card(folder, trainer.model, about(examples, data_args), figures, model_args, training_args, command)
    save_all(trainer, figures)
    return figures


def settle(training_args: RecipeTrainingArguments, examples: Examples) -> None:
    """Check the arguments that depend on the task, and fill in its own metric."""
    settle_metric(training_args, [*examples.metrics, *["combined_score"] * (len(examples.metrics) > 1), "loss"])
    if training_args.label_smoothing_factor and not examples.labels:
        raise ArgumentsError("--label_smoothing_factor is for classes; the labels of this task are scores.")


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

    return RecipeTrainer(
        model=model,
        args=training_args,
        train_dataset=splits.get("train") if training_args.do_train else None,
        eval_dataset=splits[next(iter(data_args.evaluations.values()))] if training_args.do_eval else None,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=metrics,
        callbacks=callbacks(training_args, adapter_args),
        rates=adapter_args.rates,
    )


def decide(outputs_: np.ndarray | tuple, examples: Examples) -> np.ndarray:
    """Model outputs `(n, classes)` → class ids `(n,)`; for regression `(n, 1)` → scores `(n,)`."""
    logits = outputs_[0] if isinstance(outputs_, tuple) else outputs_
    return logits.argmax(axis=1) if examples.labels else logits.reshape(-1)


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
            write_predictions(folder / f"predictions_{names[suffix]}.tsv", dataset, values, examples.labels)
            if prefix == "predict" and examples.task:
                write_submission(folder, names[suffix], examples, dataset, values)
    trainer.log_metrics(prefix, figures)
    trainer.save_metrics(prefix, figures, combined=False)
    return figures

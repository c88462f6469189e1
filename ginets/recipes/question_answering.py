"""Fine-tuning for extractive question answering: SQuAD 1.1 and 2.0, and files of the same form.

The order of work is that of `classification.py`: whatever is wrong with the input stops the run before weights are
read.
"""

from pathlib import Path

from transformers import EvalPrediction, Trainer

from ..data.squad_features import POSITIONS, SpanCollator
from .adapted import AdapterArguments, planned_steps
from .arguments import ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments
from .heads import QUESTION_ANSWERING, fit_span_head, load_config
from .model import find_trained, load_tokenizer, longest_input, make_model
from .outputs import about_data, write_card, write_pictures
from .resume import check
from .squad_data import DataArguments, Split, load_examples, make_splits
from .trainer import RecipeTrainer, callbacks, save_all, settle_metric, train


FIGURES = {
    False: ("f1", "exact_match"),
    True: ("f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact", "best_f1", "best_exact"),
}


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
        All figures, as in `all_results.json`: `train_loss`, `eval_f1`, `eval_exact_match` (1.1), `eval_exact` (2.0), ...

    Raises:
        ArgumentsError, DataError, FlagError: the input cannot be used; no weights have been read.
    """
    gate_args, adapter_args = gate_args or GateArguments(), adapter_args or AdapterArguments()
    checkpoint = check(model_args, training_args, adapter_args.adapter)
    trained, model_args = find_trained(model_args, training_args, adapter_args)
    if training_args.label_smoothing_factor:
        raise ArgumentsError("--label_smoothing_factor has no effect on the loss of starts and ends; leave it out.")
    examples = load_examples(data_args, training_args, model_args)
    config = load_config(model_args, gate_args)
    fit_span_head(config, model_args, training_args.do_train or trained is not None)
    tokenizer = load_tokenizer(model_args, config)
    longest = longest_input(data_args.max_seq_length, tokenizer, config)
    features, splits = make_splits(examples, tokenizer, data_args, longest)
    version_2 = next(iter(splits.values())).version_2 if splits else False
    evaluated = splits.get("validation")
    lacking = evaluated.lacking() if evaluated else ()
    settle_metric(training_args, [*(each for each in FIGURES[version_2] if not each.startswith(lacking)), "loss"])
    training_args.label_names = list(POSITIONS)
    steps = planned_steps(training_args, len(features or ()))
    model = make_model(model_args, adapter_args, config, QUESTION_ANSWERING, trained, steps, training_args.seed)

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        return evaluated.score(evaluated.read(prediction.predictions))

    trainer = RecipeTrainer(
        model=model,
        args=training_args,
        train_dataset=features,
        eval_dataset=evaluated.features if evaluated else None,
        processing_class=tokenizer,
        data_collator=SpanCollator(tokenizer, max_length=longest if data_args.pad_to_max_length else None),
        compute_metrics=metrics,
        callbacks=callbacks(training_args, adapter_args),
        rates=adapter_args.rates,
    )
    folder = Path(training_args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = train(trainer, checkpoint, folder, adapter_args.adapter) if training_args.do_train else {}
    history = list(trainer.state.log_history)
    for prefix, name in (("eval", "validation"), ("predict", "test")):
        if name in splits:
            figures |= predict(trainer, prefix, splits[name])
    if training_args.do_train and trainer.is_world_process_zero():
        write_pictures(folder, history, "f1", adapter_args.adapter)
        arguments = ("max_seq_length", "doc_stride")
        task = about_data(QUESTION_ANSWERING.hub_task, data_args, "", None, FIGURES[version_2], *arguments)
        write_card(folder, trainer.model, task, figures, model_args, training_args, command)
    save_all(trainer, figures)
    return figures


def predict(trainer: Trainer, prefix: str, split: Split) -> dict[str, float]:
    """Answer the questions of a split; write the official files and `<prefix>_results.json`.

    An evaluation writes `predictions.json`, ..., a prediction `predict_predictions.json`, ...
    """
    trainer.compute_metrics = None  # figures are computed below, once, and the answers are kept
    result = trainer.predict(split.features, metric_key_prefix=prefix)
    answers = split.read(result.predictions)
    figures = result.metrics | {f"{prefix}_{name}": value for name, value in split.score(answers).items()}
    figures[f"{prefix}_samples"] = len(split.examples)
    if trainer.is_world_process_zero():
        answers.save(trainer.args.output_dir, None if prefix == "eval" else prefix)
    trainer.log_metrics(prefix, figures)
    trainer.save_metrics(prefix, figures, combined=False)
    return figures

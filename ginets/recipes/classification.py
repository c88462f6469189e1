"""Fine-tuning for sentence and sentence-pair classification: GLUE, and csv/json data of the same form.

Order of work: arguments → data (columns, labels) → config and head → adapter → weights. Whatever is wrong with the
input stops the run before weights are read.
"""

import logging
from pathlib import Path

from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    Trainer,
    set_seed,
)

from ..data.glue import Examples
from . import outputs
from .adapted import AdapterArguments, attach, check_fit, count_trainable, make_config, planned_steps
from .arguments import TASK_METRIC, ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments
from .glue_data import DataArguments, load_examples, position_limit, tokenize
from .heads import fit_head, head_labels, load_config
from .resume import check, read_state
from .saved_adapters import SavedAdapter, base_arguments, check_start, find_adapter, load_adapter, start_from
from .trainer import decide, make_trainer


logger = logging.getLogger(__name__)

AVERAGE = "average_trainable_parameters"


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
    checkpoint = check(model_args, training_args)
    trained = find_trained(model_args, training_args, adapter_args)
    if trained:
        model_args = base_arguments(trained, model_args)
    examples = load_examples(
        data_args, training_args, model_args, head=lambda: head_labels(load_config(model_args, gate_args))
    )
    settle(training_args, examples)
    config = load_config(model_args, gate_args)
    fit_head(config, examples, model_args, training_args.do_train, trained.path if trained else None)
    tokenizer = load_tokenizer(model_args, config)
    splits = tokenize(examples, tokenizer, data_args, position_limit(config))
    adapter_config = make_config(adapter_args, planned_steps(training_args, len(splits.get("train", ()))))
    start = None
    if adapter_config:
        start = find_start(adapter_args, check_fit(adapter_config, config), model_args)

    set_seed(training_args.seed)
    model, fresh = load_model(model_args, config)
    if trained:
        model = load_adapter(model, trained)
    elif adapter_config:
        model = attach(model, adapter_config, fresh)
        if start:
            start_from(model, start)
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
        outputs.write_curve(folder, history, examples.metrics[0])
        if adapter_args.adapter == "aflora":
            outputs.write_freeze_map(folder)
        outputs.write_card(folder, trainer.model, examples, figures, model_args, data_args, training_args, command)
    return figures


def find_trained(
    model_args: ModelArguments, training_args: RecipeTrainingArguments, adapter_args: AdapterArguments
) -> SavedAdapter | None:
    """The adapter that `--model_name_or_path` names, if it is one; it is only evaluated."""
    adapter = find_adapter(model_args.model_name_or_path, model_args)
    if adapter and (training_args.do_train or adapter_args.adapter != "none"):
        raise ArgumentsError(
            f"{adapter.path!r} is an adapter; to train on from it give --init_adapter {adapter.path} "
            f"--adapter {adapter.method} --model_name_or_path {adapter.content['base_model_name_or_path']}."
        )
    return adapter


def find_start(adapter_args: AdapterArguments, adapter_config, model_args: ModelArguments) -> SavedAdapter | None:
    """The adapter of `--init_adapter`, checked against the one of this run."""
    path = adapter_args.init_adapter
    if path is None:
        return None
    adapter = find_adapter(path, model_args)
    if adapter is None:
        raise ArgumentsError(f"--init_adapter is {path!r}, which is no adapter: there is no adapter_config.json.")
    check_start(adapter, adapter_args.adapter, adapter_config)
    return adapter


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


def load_model(model_args: ModelArguments, config: PreTrainedConfig) -> tuple:
    """The model, and the names of its parameters that the checkpoint did not give.

    The only place where weights of a model are read, and safetensors the only format.
    """
    name = model_args.model_name_or_path
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            name,
            config=config,
            dtype=model_args.dtype,
            ignore_mismatched_sizes=model_args.ignore_mismatched_sizes,
            use_safetensors=True,
            output_loading_info=True,
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
    return model, frozenset(found["missing_keys"]) | {key for key, *_ in found["mismatched_keys"]}


def train(trainer: Trainer, checkpoint: str | None, folder: Path, adapter: str) -> dict[str, float]:
    """Train, save the model (the best one, if so asked) with its tokenizer, and `train_results.json`."""
    counts = count_trainable(trainer.model)
    done = read_state(checkpoint)["global_step"] if checkpoint else 0  # later the checkpoint may be deleted
    if trainer.is_world_process_zero():
        (folder / "all_results.json").unlink(missing_ok=True)  # figures are added to it below
    figures = trainer.train(resume_from_checkpoint=checkpoint).metrics
    if done == trainer.state.global_step:
        del figures["train_loss"]  # the checkpoint was the last one: no step was taken, and 0.0 is no loss
    figures |= {"train_samples": len(trainer.train_dataset), "adapter": adapter, **counts}
    # AFLoRA trains fewer and fewer; its callback logs how many on average
    if averages := [entry[AVERAGE] for entry in trainer.state.log_history if AVERAGE in entry]:
        figures[AVERAGE] = averages[-1]
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

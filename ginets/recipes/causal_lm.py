"""Fine-tuning of language models on prompts and answers; a task says where they come from.

The order of work is that of `classification.py`: whatever is wrong with the input stops the run before weights are
read.
"""

from pathlib import Path

from ..data.packing import CausalCollator, keeps_rows_apart
from .adapted import AdapterArguments, planned_steps
from .arguments import ArgumentsError, GateArguments, ModelArguments, RecipeTrainingArguments
from .causal_data import (
    CausalDataArguments,
    CausalTask,
    CompletionLoss,
    load_rows,
    make_features,
    perplexity,
    token_losses,
)
from .heads import CAUSAL_LM, load_config
from .model import find_trained, load_tokenizer, longest_input, make_model
from .outputs import about_data, write_card, write_pictures
from .resume import check
from .trainer import RecipeTrainer, callbacks, save_all, settle_metric, train


FIGURES = ("perplexity", "loss")


def run(
    task: CausalTask,
    model_args: ModelArguments,
    data_args: CausalDataArguments,
    training_args: RecipeTrainingArguments,
    gate_args: GateArguments | None = None,
    command: str = "",
    adapter_args: AdapterArguments | None = None,
) -> dict[str, float]:
    """Train and evaluate as the arguments say; `command` is what the model card gives for repeating it.

    Returns:
        All figures, as in `all_results.json`: `train_loss`, `eval_perplexity` (per token of the answers), ...

    Raises:
        ArgumentsError, DataError, FlagError: the input cannot be used; no weights have been read, or, where an
            architecture cannot pack, nothing has been trained.
    """
    gate_args, adapter_args = gate_args or GateArguments(), adapter_args or AdapterArguments()
    checkpoint = check(model_args, training_args, adapter_args.adapter)
    trained, model_args = find_trained(model_args, training_args, adapter_args)
    if adapter_args.classifier_lr is not None:
        raise ArgumentsError("--classifier_lr is for models with a head for a task; language models have none.")
    settle_metric(training_args, FIGURES)
    config = load_config(model_args, gate_args)
    padding = config.pad_token_id
    tokenizer = load_tokenizer(model_args, config)
    config.pad_token_id = padding  # an embedding does not train the row it pads with, and the end token is learnt
    hub_options = {"cache_dir": model_args.cache_dir, "token": model_args.token}
    rows = load_rows(task, data_args, training_args, tokenizer, **hub_options)
    longest = longest_input(data_args.max_seq_length, tokenizer, config)
    features = make_features(rows, tokenizer, data_args, longest)
    steps = planned_steps(training_args, len(features.get("train", ())))
    model = make_model(model_args, adapter_args, config, CAUSAL_LM, trained, steps, training_args.seed)
    if data_args.packing and not keeps_rows_apart(model):
        raise ArgumentsError(
            f"--packing is not for {config.model_type} models: their rows would read each other; leave it out."
        )
    trainer = RecipeTrainer(
        model=model,
        args=training_args,
        train_dataset=features.get("train"),
        eval_dataset=features.get("validation"),
        processing_class=tokenizer,
        data_collator=CausalCollator(tokenizer.pad_token_id),
        compute_loss_func=CompletionLoss(training_args.label_smoothing_factor),
        preprocess_logits_for_metrics=token_losses,
        compute_metrics=perplexity,
        callbacks=callbacks(training_args, adapter_args),
        rates=adapter_args.rates,
    )
    folder = Path(training_args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    figures = train(trainer, checkpoint, folder, adapter_args.adapter) if training_args.do_train else {}
    history = list(trainer.state.log_history)
    if training_args.do_eval:
        evaluated = trainer.evaluate() | {"eval_samples": len(features["validation"])}
        trainer.log_metrics("eval", evaluated)
        trainer.save_metrics("eval", evaluated, combined=False)
        figures |= evaluated
    if training_args.do_train and trainer.is_world_process_zero():
        write_pictures(folder, history, "perplexity", adapter_args.adapter)
        given = data_args.files or getattr(data_args, "dataset_name", None)
        known = "" if given else getattr(data_args, "task_name", task.name)
        about = about_data(CAUSAL_LM.hub_task, data_args, known, None, FIGURES, "max_seq_length", "packing")
        write_card(folder, trainer.model, about, figures, model_args, training_args, command)
    save_all(trainer, figures)
    return figures

"""Whether a run may start, and from which checkpoint: found out from the arguments and the output folder alone."""

import json
import logging
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from .arguments import ArgumentsError, ModelArguments, RecipeTrainingArguments


logger = logging.getLogger(__name__)

RESUMABLE = ("scheduler.pt", "latest")  # what a checkpoint has to go on from; the second: of DeepSpeed


def check(model_args: ModelArguments, training_args: RecipeTrainingArguments, adapter: str = "none") -> str | None:
    """Check what the arguments alone tell, and find the checkpoint to resume from.

    Args:
        adapter: method of the adapter that is trained, or `none`.
    """
    if not model_args.model_name_or_path:
        raise ArgumentsError("--model_name_or_path is missing: a local model folder or a name on the Hub.")
    patience = training_args.early_stopping_patience
    if patience and training_args.do_train and not training_args.load_best_model_at_end:
        raise ArgumentsError("--early_stopping_patience needs --do_eval and --load_best_model_at_end.")
    folder = Path(training_args.output_dir)
    if file := next((path for path in (folder, *folder.parents) if path.is_file()), None):
        raise ArgumentsError(f"--output_dir is {str(folder)!r}, but {str(file)!r} is a file; name a folder.")
    if not training_args.do_train:
        return None
    check_kind(folder, adapter)
    return find_checkpoint(training_args, folder)


def check_kind(folder: Path, adapter: str) -> None:
    """Refuse to save an adapter beside a complete model, or the other way round: one would be loaded for the other."""
    holds, trains, file = "a complete model", "an adapter", "config.json"
    if adapter == "none":
        holds, trains, file = trains, holds, "adapter_config.json"
    if (folder / file).is_file():
        raise ArgumentsError(
            f"--output_dir {folder} holds {holds}, and this run trains {trains}; name another folder."
        )


def find_checkpoint(training_args: RecipeTrainingArguments, folder: Path) -> str | None:
    """The checkpoint to go on from; refuses to mix runs, and to go on where nothing is left to do."""
    last = get_last_checkpoint(folder) if folder.is_dir() else None
    finished = (folder / "all_results.json").exists()
    wanted = training_args.resume_from_checkpoint
    checkpoint = last_complete(folder) if wanted == "auto" else wanted
    if checkpoint:
        if not (Path(checkpoint) / "trainer_state.json").is_file():
            raise ArgumentsError(
                f"--resume_from_checkpoint is {checkpoint!r}, which is no checkpoint folder; `auto` finds the last."
            )
        if not any((Path(checkpoint) / name).exists() for name in RESUMABLE):
            raise ArgumentsError(
                f"--resume_from_checkpoint: {checkpoint} has no state of optimizer and schedule (--save_only_model), and "
                f"the run would not go on as it was; start another one from it with --model_name_or_path."
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


def last_complete(folder: Path) -> str | None:
    """The last checkpoint that was written to its end. The state is written last: a run that was killed may lack it."""
    found = (path.parent for path in folder.glob("checkpoint-*/trainer_state.json"))
    steps = {int(step): path for path in found if (step := path.name.removeprefix("checkpoint-")).isdigit()}
    return str(steps[max(steps)]) if steps else None


def read_state(checkpoint: str) -> dict:
    """How far the run of a checkpoint had come. Raises `ArgumentsError` if its file cannot be read."""
    file = Path(checkpoint) / "trainer_state.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentsError(f"{file} is not valid JSON ({error}); name an earlier checkpoint.") from error


def is_complete(state: dict, training_args: RecipeTrainingArguments) -> bool:
    """Whether a run in this state has nothing left to do: all steps, all epochs, or its patience is at an end."""
    stopping = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {}).get("attributes", {})
    patience = training_args.early_stopping_patience
    if patience and stopping.get("early_stopping_patience_counter", 0) >= patience:
        return True
    if training_args.max_steps > 0:
        return state["global_step"] >= training_args.max_steps
    return state["epoch"] >= training_args.num_train_epochs

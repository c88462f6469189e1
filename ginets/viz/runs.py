"""Files that a run leaves behind, read for its pictures."""

import json
from contextlib import suppress
from pathlib import Path

from .freeze_map import read_freeze_log
from .scatter import PARAMETERS


STATE, RESULTS, FREEZE_LOG = "trainer_state.json", "all_results.json", "freeze_log.csv"
LIVE = "log_history.jsonl"  # there while a training of the recipes goes on, or after it was broken off
NO_METRICS = ("loss", "runtime", "samples", "per_second", "preparation_time")  # ends of eval_… figures of Trainer


class Missing(ValueError):
    """A run lacks what a picture needs; the message says what."""


def read_history(folder: Path) -> list[dict]:
    """The log of a training: what it has logged so far, else that of the run's folder or of its latest checkpoint."""
    if (folder / LIVE).is_file():
        return _drawable(_lines(folder / LIVE))
    checkpoints = [path.parent for path in folder.glob(f"checkpoint-*/{STATE}")]
    checkpoints.sort(key=lambda path: int(path.name.rpartition("-")[2]) if path.name[11:].isdigit() else -1)
    for place in (folder, *reversed(checkpoints)):
        if (place / STATE).is_file():
            history = _object(place / STATE).get("log_history")
            if not isinstance(history, list) or not all(isinstance(entry, dict) for entry in history):
                raise ValueError(f"{place / STATE}: log_history must be a list of objects.")
            return _drawable(history)
    raise Missing(f"no {STATE}")


def _drawable(history: list[dict]) -> list[dict]:
    if not any("epoch" in entry and {"loss", "eval_loss"} & entry.keys() for entry in history):
        raise Missing("nothing was logged")
    return history


def _lines(path: Path) -> list[dict]:
    """The objects in a file that grows by lines; what has no end of line yet is left out."""
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    try:
        rows = [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}).") from error
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: every line must hold an object.")
    return rows


def read_point(folder: Path, metric: str) -> tuple[float, float]:
    """Trainable parameters without the head, and the score `metric`."""
    if not (folder / RESULTS).is_file():
        raise Missing(f"no {RESULTS}")
    results = _object(folder / RESULTS)
    for name in (PARAMETERS, f"eval_{metric}"):
        if not isinstance(results.get(name), int | float):
            raise Missing(f"no {name} in {RESULTS}")
    if results[PARAMETERS] <= 0:
        raise Missing(f"{PARAMETERS} is {results[PARAMETERS]}, which has no logarithm")
    return results[PARAMETERS], results[f"eval_{metric}"]


def read_frozen(folder: Path) -> dict[tuple[str, str], int]:
    """AFLoRA's log."""
    if not (folder / FREEZE_LOG).is_file():
        raise Missing(f"no {FREEZE_LOG}")
    if not (frozen := read_freeze_log(folder / FREEZE_LOG)):
        raise Missing("nothing was frozen")
    return frozen


def metrics_of(folder: Path) -> list[str]:
    """Names of the scores, without `eval_`, that the run has figures of, in its order."""
    entries = []
    if (folder / RESULTS).is_file():
        entries.append(_object(folder / RESULTS))
    with suppress(Missing):  # it is reported where curves are drawn
        entries += read_history(folder)
    names = dict.fromkeys(
        name.removeprefix("eval_") for entry in entries for name in entry if name.startswith("eval_")
    )
    return [name for name in names if not name.endswith(NO_METRICS)]


def _object(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold an object.")
    return content

"""One cell: its process, its retries, and the record of what it was and gave."""

import json
import os
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import torch
from transformers.hf_argparser import string_to_bool

from ..extras import processor, versions
from .grid import Cell
from .locks import Lock
from .process import Ended, execute
from .store import Store


FIGURES = "all_results.json"  # what every command leaves
TAIL = 200  # lines of the log of a cell that failed
# how a cell may end
DONE, FAILED, BUSY, STOPPED = "done", "failed", "busy", "stopped"


@dataclass(frozen=True)
class Outcome:
    """How a cell ended: `done`, `failed`, `busy` (somebody else is at it) or `stopped`; `text` says more."""

    cell: Cell
    state: str
    text: str = ""


@dataclass(frozen=True)
class Settings:
    """How cells are run.

    Attributes:
        threads: of each process.
        retries: how often a cell is done again whose process was killed.
        keep_runs: keep the output folder of the command, with the model, when the cell is finished.
        owner: see `Lock`.
    """

    threads: int = 1
    retries: int = 2
    keep_runs: bool = True
    owner: str = ""


def run_cell(
    cell: Cell, store: Store, settings: Settings, device: str | None = None, stop: Event | None = None
) -> Outcome:
    """Do a cell, unless it is done or somebody is at it, and write its record.

    Args:
        device: what `CUDA_VISIBLE_DEVICES` is set to; None: left alone.
        stop: set from elsewhere, it ends the cell.
    """
    stop = stop or Event()
    lock = store.lock(cell, settings.owner)
    with lock.taken() as other:
        if store.record_file(cell):
            return Outcome(cell, DONE)
        if other:
            return Outcome(cell, BUSY, f"{other} is at it")
        attempts, made_by = 0, origin(cell, settings)
        while attempts <= settings.retries:
            attempts += 1
            if stop.is_set():
                return Outcome(cell, STOPPED)
            started = datetime.now(UTC)
            ended = start(cell, store, settings, device, stop, lock)
            if stop.is_set() and ended.code:
                return Outcome(cell, STOPPED)
            if ended.code >= 0:  # not killed: what went wrong would go wrong again
                break
        return finish(cell, store, settings, ended, started, attempts, made_by)


def command_of(cell: Cell, store: Store) -> list[str]:
    """Its command line, after the interpreter."""
    return ["-m", "ginets.cli", *cell.command.split(), "--output_dir", str(store.run_folder(cell)), *cell.words()]


def start(cell: Cell, store: Store, settings: Settings, device: str | None, stop: Event, lock: Lock) -> Ended:
    """One attempt. It begins anew, unless the command is told to go on from checkpoints, and is not past them."""
    if not cell.arguments.get("resume_from_checkpoint") or (store.run_folder(cell) / FIGURES).exists():
        store.clear_run(cell)
    variables = {"OMP_NUM_THREADS": str(settings.threads)} | (
        {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
    )
    command = [sys.executable, *same_package(), *command_of(cell, store)]
    return execute(command, store.log(cell), variables, stop, lock.sign_of_life)


def same_package() -> list[str]:
    """The option that keeps a process from another ginets in the working folder than the one that this is."""
    return [] if Path(__file__).resolve().parents[2] == Path.cwd() else ["-P"]


def origin(cell: Cell, settings: Settings) -> dict[str, object]:
    """What a cell is computed by, read before it: the checkout may change meanwhile."""
    return {
        "versions": versions(),
        "hardware": hardware({**cell.places, **cell.arguments}) | {"threads": settings.threads},
        "git_commit": git_commit(),
    }


def finish(
    cell: Cell,
    store: Store,
    settings: Settings,
    ended: Ended,
    started: datetime,
    attempts: int,
    made_by: dict[str, object],
) -> Outcome:
    """Write the record of a cell that succeeded, or shorten the log of one that failed."""
    log, run = store.log(cell), store.run_folder(cell)
    figures = None if ended.code else read_figures(run / FIGURES)
    if not isinstance(figures, dict):
        return Outcome(cell, FAILED, f"{reason(ended.code) or figures}; {shorten(log)}; see {log}")
    record = {
        "key": cell.key,
        "variant": dict(cell.variant),
        "seed": cell.seed,
        "command": shlex.join(["python", *hide_secrets(command_of(cell, store))]),
        "arguments": {name: "***" if is_secret(name) else value for name, value in cell.arguments.items()},
        "figures": figures,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(ended.seconds, 1),
        "peak_memory_mib": ended.peak_memory_mib,
        "saved_mib": round(sum(file.stat().st_size for file in run.glob("*.safetensors")) / 2**20, 3),
        "attempts": attempts,
        **made_by,
    }
    if store.record_file(cell) is None:  # after a lock that went stale somebody else may have finished it
        store.save(cell, record)
    log.unlink()
    if not settings.keep_runs:
        store.clear_run(cell)
    return Outcome(cell, DONE, f"{ended.seconds:.0f} s")


def read_figures(file: Path) -> dict | str:
    """What a command measured, or why that is not known."""
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return f"it left no {file.name}"
    except ValueError:
        figures = None
    return figures if isinstance(figures, dict) else f"its {file.name} is no valid JSON object"


def reason(code: int) -> str:
    if code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}" if code else ""


def shorten(log: Path) -> str:
    """Keep the tail of a log; returns its last line."""
    with log.open(encoding="utf-8", errors="replace") as file:
        lines = deque(file, maxlen=TAIL)
    log.write_text("".join(lines), encoding="utf-8")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


def is_secret(name: str) -> bool:
    return name.endswith("token")


def hide_secrets(words: list[str]) -> list[str]:
    """Records may be published: without access tokens."""
    previous = ["", *words]
    return [
        "***" if before.startswith("--") and is_secret(before) else word
        for before, word in zip(previous, words, strict=False)
    ]


def hardware(arguments: Mapping[str, Any]) -> dict[str, object]:
    """What computes a run with these arguments: the processor and, if there is one and it may be used, the GPU."""
    found = {"cpu": processor(), "cores": os.cpu_count()}
    on_cpu = string_to_bool(str(arguments.get("use_cpu", False)))
    return found | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() and not on_cpu else {})


def git_commit() -> str | None:
    """The commit of the checkout that this package is in, with `+` if tracked files were changed; None if in none."""
    here = Path(__file__)
    if git("ls-files", "--error-unmatch", here.name) is None:  # in a repository, perhaps, but no part of it
        return None
    commit = git("rev-parse", "HEAD")  # None where nothing has been committed yet
    return commit and commit + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


def git(*words: str) -> str | None:
    """What git says in the folder of this file; None if it fails or is not there."""
    try:
        run = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()

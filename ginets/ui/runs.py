"""A training that the page has started: a process of its own, with its log beside what it writes."""

import shlex
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ..viz.runs import Missing, metrics_of, read_history
from .commands import RESUME, check
from .source import Refused


LOG = "page.log"
PATIENCE = 10  # seconds from asking a process to end to ending it
OFF = "Running is switched off: copy the command into a terminal, or open the page with --enable-training."


class Runs:
    """One training at a time. Checkpoints stay when it is stopped, so it can be resumed.

    Args:
        enabled: else nothing is ever started.
    """

    def __init__(self, enabled: bool = False):
        self.enabled, self.lock = enabled, threading.Lock()
        self.process: subprocess.Popen | None = None
        self.verb, self.words, self.folder = "", (), None
        self.stopped = False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, verb: str, words: Sequence[str]) -> None:
        """Raises `Refused`: it is switched off, another one runs, or the words cannot be used."""
        with self.lock:
            if not self.enabled:
                raise Refused(OFF)
            if self.running:
                raise Refused("A training is running; stop it first, or wait for its end.")
            folder = Path(check(verb, words))
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with open(folder / LOG, "a", encoding="utf-8") as log:
                    log.write(f"\n$ ginets {verb} {shlex.join(words)}\n")
                    log.flush()
                    command = [sys.executable, "-m", "ginets.cli", *verb.split(), *words]
                    self.process = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                    )
            except OSError as error:
                raise Refused(f"{folder} cannot be written ({error.strerror}).") from error
            self.verb, self.words, self.folder, self.stopped = verb, tuple(words), folder, False

    def resume(self) -> None:
        """Go on from the last checkpoint. Raises `Refused`: there is nothing to resume."""
        if not self.enabled:
            raise Refused(OFF)
        if self.folder is None:
            raise Refused(
                "Nothing was started here yet; to go on with an earlier run, add --resume_from_checkpoint auto."
            )
        words = self.words if self.words[-2:] == RESUME else (*self.words, *RESUME)
        self.start(self.verb, words)

    def stop(self) -> None:
        with self.lock:
            if not self.running:
                return
            self.stopped = True
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def state(self) -> str:
        """In a sentence."""
        if self.process is None:
            return "Nothing was started yet."
        where = f" Files: {self.folder}"
        if self.running:
            return f"Training is running.{where}"
        if self.stopped:
            return f"Training was stopped; resume goes on from its last checkpoint.{where}"
        code = self.process.returncode
        return (
            f"Training has ended.{where}" if code == 0 else f"Training failed (exit code {code}); see the log.{where}"
        )

    def log(self, lines: int = 12) -> str:
        """The last lines that the training wrote."""
        if self.folder is None:
            return ""
        with open(self.folder / LOG, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode("utf-8", "replace")
        # a progress bar writes over itself
        shown = [line.rpartition("\r")[2] for line in text.rstrip("\r\n").split("\n")]
        return "\n".join(line[:300] for line in shown[-lines:])

    def history(self) -> tuple[list[dict], str | None]:
        """What was logged so far, and the name of a score; nothing if there is none yet.

        A file that is being written at this moment counts as not there.
        """
        if self.folder is None:
            return [], None
        try:
            return read_history(self.folder), next(iter(metrics_of(self.folder)), None)
        except (Missing, OSError, ValueError):
            return [], None

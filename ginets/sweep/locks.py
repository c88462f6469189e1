"""Who is at which cell: a file with process and host, void when that process is gone."""

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil


HEARTBEAT = 30  # seconds between signs of life
STALE = 20 * HEARTBEAT  # without one for so long, a lock of another host is void


@dataclass(frozen=True)
class Process:
    """A process of a host; `born`, in seconds since 1970, tells those apart that have the same pid in turn."""

    pid: int
    born: float

    @classmethod
    def of(cls, pid: int | None = None) -> "Process":
        """That of `pid`; None: this one."""
        process = psutil.Process(pid)
        return cls(process.pid, process.create_time())

    def lives(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.born) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Holder:
    """Who is at a cell: a sweep, and the process of the cell if it has begun. `owner`: see `Lock`."""

    host: str
    sweep: Process
    cell: Process | None = None
    owner: str = ""

    @classmethod
    def read(cls, file: Path) -> "Holder | None":
        """Who has written a lock; None: there is none, or it is damaged, as after a loss of power."""
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            for name in ("sweep", "cell"):
                content[name] = content[name] and Process(**content[name])
            return cls(**content)
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return None

    def __str__(self) -> str:
        return f"process {self.sweep.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname()


class Lock:
    """Of one cell.

    Args:
        file: the lock.
        owner: a lock of the same owner, if it is not empty, is void: the owner knows that nobody is at the cell.
    """

    def __init__(self, file: Path, owner: str = ""):
        self.file = file
        self.mine = Holder(socket.gethostname(), Process.of(), None, owner)

    def holder(self) -> Holder | None:
        """Who is at the cell; None: nobody, or nobody any more."""
        try:
            last_sign = self.file.stat().st_mtime
        except FileNotFoundError:
            return None
        holder = Holder.read(self.file)
        if holder is None or (holder.owner and holder.owner == self.mine.owner):
            return None
        lives = holder.sweep.lives() if holder.is_here else time.time() - last_sign < STALE
        return holder if lives else None

    @contextmanager
    def taken(self) -> Iterator[Holder | None]:
        """Within it the cell is ours; or it is that of the `Holder` that the context gives."""
        with self.guard():
            other = self.holder()
            if other is None:
                self.end_orphan()
                self.write(self.mine)
        try:
            yield other
        finally:
            if other is None:
                self.file.unlink(missing_ok=True)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """One at a time looks at locks and takes them; a process that dies gives this back."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with (self.file.parent / ".guard").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def sign_of_life(self, pid: int) -> None:
        """Say that we are still there, and that the process `pid` does the cell."""
        # it has just ended; or the sign cannot be written this time, which is no reason to end the cell
        with suppress(psutil.NoSuchProcess, OSError):
            self.write(replace(self.mine, cell=Process.of(pid)))

    def write(self, holder: Holder) -> None:
        partial = self.file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        partial.replace(self.file)

    def end_orphan(self) -> None:
        """A sweep that was killed by force leaves the process of its cell behind, which would write beside ours."""
        holder = Holder.read(self.file)
        if holder and holder.is_here and holder.cell and holder.cell.lives():
            with suppress(ProcessLookupError):
                os.killpg(holder.cell.pid, signal.SIGKILL)  # it leads a group of its own

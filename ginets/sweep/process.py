"""A command in a process of its own: its output to a file, how long it took and how much memory, and its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from .locks import HEARTBEAT


GLANCE = 0.1  # seconds between two looks at it
PATIENCE = 10.0  # seconds from the request to end to the end by force


@dataclass(frozen=True)
class Ended:
    """How a process ended. `code`: its exit code, or less the number of the signal that killed it."""

    code: int
    seconds: float
    peak_memory_mib: int


def execute(
    command: Sequence[str], log: Path, environment: Mapping[str, str], stop: Event, beat: Callable[[int], None]
) -> Ended:
    """Run a command to its end, or until `stop` is set; whatever happens here, it does not outlive the call.

    Args:
        log: gets what it prints.
        environment: variables beside those of this process.
        beat: called with its pid, at once and then every `HEARTBEAT` seconds.
    """
    start = time.monotonic()
    with log.open("wb") as file:
        # a group of its own: Ctrl-C in the terminal goes to us alone, and its own children end with it
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(environment),
            start_new_session=True,
        )
    try:
        due, peak = start, 0
        while not (ended := look(process, start)):
            peak = memory(process.pid) or peak
            if time.monotonic() >= due:
                beat(process.pid)
                due += HEARTBEAT
            if stop.wait(GLANCE):
                return end(process, start)
        return replace(ended, peak_memory_mib=peak) if peak else ended
    except BaseException:
        end(process, start)
        raise


def look(process: subprocess.Popen, start: float) -> Ended | None:
    """Its end, if it has come to it, with the memory of this process alone and not of all that there ever were."""
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if not pid:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Ended(process.returncode, time.monotonic() - start, usage.ru_maxrss // unit)


def memory(pid: int) -> int:
    """Its peak so far in MiB, rounded up, 0 where that cannot be read. (`wait4` counts our own size before `exec`, too.)"""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next((-(-int(line.split()[1]) // 2**10) for line in status.splitlines() if line.startswith("VmHWM")), 0)


def end(process: subprocess.Popen, start: float) -> Ended:
    """Ask it and its children to end, and make them."""
    limit = time.monotonic() + PATIENCE
    os.killpg(process.pid, signal.SIGTERM)
    while not (ended := look(process, start)):
        if time.monotonic() > limit:
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(GLANCE)
    return ended

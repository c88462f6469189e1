"""Finished texts on disk as they come, so that a killed run goes on where it was."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..data.tabular import DataError
from .prompts import Prompt


try:
    import fcntl
except ImportError:  # no POSIX system; there nothing keeps two runs from writing one file
    fcntl = None


class Journal:
    """The texts of a run: line by line in `OUTPUT.part` while it goes on, in the order of the prompts at its end.

    The first line holds the settings; a run with others is refused, or with `overwrite` begins anew. What is added is on
    disk when `add` returns; a line that was being written when the run was killed is dropped.

    Attributes:
        done: id → text.

    Raises:
        DataError: there is an output already, a part of a run with other settings, or a run that is writing it.
    """

    def __init__(self, output: str | os.PathLike, settings: Mapping[str, object], overwrite: bool = False):
        self.output = Path(output)
        self.part = self.output.with_name(f"{self.output.name}.part")
        self.settings = json.loads(json.dumps(settings))
        self.done: dict[str, str] = {}
        if not overwrite and self.output.exists() and not self.part.exists():
            raise DataError(f"{self.output}: is there already; name another file, or give --overwrite.")
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.part, "ab")  # noqa: SIM115 — open as long as the journal
        try:
            if fcntl:  # until the file is closed, or the process has ended
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            whole = self._read(overwrite)  # the output itself is replaced at the end
        except BlockingIOError as error:
            self.file.close()
            raise DataError(f"{self.part}: another run is writing it; wait for it, or name another file.") from error
        except DataError:
            self.file.close()
            raise
        self.file.truncate(whole)
        if not whole:
            self._append([{"settings": self.settings}])

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *raised) -> None:
        self.file.close()

    def add(self, texts: Mapping[str, str]) -> None:
        """Put id → text on disk; those that are there already stay as they are."""
        texts = {name: text for name, text in texts.items() if name not in self.done}
        self._append({"id": name, "text": text} for name, text in texts.items())
        self.done |= texts

    def finish(self, prompts: Iterable[Prompt]) -> None:
        """Write the output, one line `id`, `prompt`, `text` for each prompt; all have to be done."""
        rows = [{"id": each.id, "prompt": each.text, "text": self.done[each.id]} for each in prompts]
        whole = self.output.with_name(f"{self.output.name}.whole")
        with open(whole, "wb") as file:
            file.write(_lines(rows))
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, self.output)
        if not fcntl:  # there an open file cannot be deleted
            self.file.close()
        self.part.unlink()  # while it is locked: no other run goes on with it
        self.file.close()

    def _append(self, rows: Iterable[Mapping]) -> None:
        self.file.write(_lines(rows))
        self.file.flush()
        os.fsync(self.file.fileno())

    def _read(self, overwrite: bool) -> int:
        """Take over what is there; the number of bytes in whole lines. `overwrite`: 0 for what cannot be gone on with."""
        try:
            return self._take_over()
        except DataError:
            if not overwrite:
                raise
            self.done = {}
            return 0

    def _take_over(self) -> int:
        content = self.part.read_bytes()
        whole = content.rfind(b"\n") + 1
        begun = {}
        for number, line in enumerate(content[:whole].splitlines(), start=1):
            try:
                row = json.loads(line)
                if number == 1:
                    begun = row["settings"]
                else:
                    self.done[row["id"]] = row["text"]
            except (KeyError, TypeError, ValueError) as error:
                raise DataError(f"{self.part}, line {number}: is damaged; mend it, or give --overwrite.") from error
        if not self.done:  # nothing is lost by starting anew
            return 0
        self._compare(begun)
        return whole

    def _compare(self, begun: Mapping[str, object]) -> None:
        names = [name for name in begun | self.settings if begun.get(name) != self.settings.get(name)]
        if names:
            changes = ", ".join(f"{name} {begun.get(name)!r}, not {self.settings.get(name)!r}" for name in names)
            raise DataError(
                f"{self.part}: was begun with {changes}; give the same settings to go on, or --overwrite to start anew."
            )


def _lines(rows: Iterable[Mapping]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

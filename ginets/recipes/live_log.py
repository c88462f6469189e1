"""The log of a training while it goes on, in a file of the run's folder that others may read."""

import json
import os
from pathlib import Path

from transformers import TrainerCallback

from ..viz.runs import LIVE


class LiveLog(TrainerCallback):
    """Keeps `log_history`, an entry a line, in `output_dir` from the begin of a training to its end.

    A resumed training begins with the entries up to its checkpoint: what was logged after it will be logged again.
    `train` deletes the file when `trainer_state.json` has all of it.
    """

    def __init__(self):
        self.file: Path | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.file = Path(args.output_dir, LIVE)
            self.file.parent.mkdir(parents=True, exist_ok=True)
            whole = self.file.with_name(f"{LIVE}.whole")
            whole.write_text("".join(map(line, state.log_history)), encoding="utf-8")
            os.replace(whole, self.file)

    def on_log(self, args, state, control, **kwargs):
        if self.file:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(line(state.log_history[-1]))

    def on_train_end(self, args, state, control, **kwargs):
        self.file = None  # evaluations that follow are no part of the training


def line(entry: dict) -> str:
    return json.dumps(entry) + "\n"

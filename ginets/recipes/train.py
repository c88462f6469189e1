"""The commands `ginets train TASK`: the causal recipe with a task plugged in."""

from functools import partial

from . import instruct_task, math_task, nlg_task
from .causal_lm import run
from .command import Command


TASKS = {task.name: task for task in (nlg_task.TASK, instruct_task.TASK, math_task.TASK)}
COMMANDS = {
    name: Command(f"ginets train {name}", f"train {name}", name, task.data_arguments, partial(run, task))
    for name, task in TASKS.items()
}

"""What `ginets generate` can write: task → prompts from a file, and the published way of decoding."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple


def nlg(options: SimpleNamespace, tokenizer) -> list:
    """The distinct inputs of E2E, WebNLG or DART, with the ids that `ginets eval nlg` knows them by."""
    from ..data.nlg import distinct, read_rows
    from ..data.segments import prompt_of
    from ..recipes.nlg_task import segments

    items = distinct(read_rows(options.task_name, options.data))
    return [(item.id, prompt_of(segments(item.input, ""))) for item in items]


def math(options: SimpleNamespace, tokenizer) -> list:
    """Word problems in the template of training, with the ids that `ginets eval math` knows them by."""
    from ..data.arithmetic import read_problems, segments
    from ..data.segments import prompt_of

    return [(problem.id, prompt_of(segments(problem))) for problem in read_problems(options.data)]


def instruct(options: SimpleNamespace, tokenizer) -> list:
    """Instructions in the template of training, or dialogues, up to the last answer; numbered from 0."""
    from functools import partial

    from ..data.records import keep, read_records
    from ..generation.instructions import prompt

    rows = keep(read_records(options.data), partial(prompt, tokenizer=tokenizer), options.data)
    return [(str(number), segments) for number, segments in enumerate(rows)]


def text(options: SimpleNamespace, tokenizer) -> list:
    """Prompts as they are."""
    from ..generation.prompts import read_prompts

    return read_prompts(options.data)


class Task(NamedTuple):
    """`read`: `(options, tokenizer)` → ids and segments to go on from. `names`: data sets that read differently."""

    help: str
    read: Callable[[SimpleNamespace, object], list]
    names: tuple[str, ...] = ()


TASKS = {
    "nlg": Task("texts for facts", nlg, ("e2e", "webnlg", "dart")),
    "math": Task("solutions of word problems", math),
    "instruct": Task("answers to instructions or dialogues", instruct),
    "text": Task("any prompts, one per line of .txt, or in a column prompt", text),
}


def check_name(options: SimpleNamespace) -> None:
    """Refuse a data set that the task does not have, or none where it must be told."""
    names = TASKS[options.task].names
    if names and options.task_name not in names:
        raise ValueError(
            f"--task-name is {options.task_name!r}; --task {options.task} needs one of {', '.join(names)}."
        )
    if not names and options.task_name is not None:
        raise ValueError(f"--task-name is {options.task_name!r}; --task {options.task} takes none.")

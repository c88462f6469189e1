"""What the tabs share: kind errors, a menu of models, examples to click, and what is said where a head is missing."""

import functools
import logging
from collections.abc import Callable, Sequence

import gradio as gr

from .source import Refused
from .views import notice


logger = logging.getLogger(__name__)

PRIVATE = {"api_visibility": "private"}  # the page is for people; programs ask `ginets serve`
FAILED = "Something failed here that is not your input's fault; the page's log says more."


def explained(error: Exception) -> str:
    """One sentence for whoever sits at the page; what was not foreseen goes to the log."""
    if isinstance(error, Refused):
        return str(error)
    logger.error("the page failed", exc_info=error)
    return FAILED


def kindly(function: Callable) -> Callable:
    """A handler whose last output is HTML: on an error the sentence appears there, and other outputs stay."""

    @functools.wraps(function)
    async def kind(*args):
        try:
            return await function(*args)
        except Exception as error:  # the outermost layer: whatever it was, the page goes on
            shown = notice(explained(error))
            others = getattr(function, "other_outputs", 0)
            return (*[gr.skip()] * others, shown) if others else shown

    return kind


def others(count: int) -> Callable:
    """Marks a handler that has so many outputs before its HTML."""

    def mark(function: Callable) -> Callable:
        function.other_outputs = count
        return function

    return mark


def menu(models: Sequence[str], label: str = "Model") -> gr.Dropdown:
    return gr.Dropdown(list(models), value=models[0], label=label, interactive=True, filterable=False)


def examples(rows: Sequence[tuple[str, ...]], fields: Sequence) -> None:
    """Buttons that fill the fields: reachable by keyboard, which the rows of a table are not."""
    with gr.Row(elem_classes="examples"):
        for row in rows:
            button = gr.Button(f"Example: {row[0]}", size="sm", min_width=120)
            button.click(lambda row=row: row if len(row) > 1 else row[0], None, list(fields), queue=False, **PRIVATE)


def missing(what: str, command: str) -> None:
    """In place of a tab's fields."""
    gr.Markdown(f"None of the loaded models {what}. Open the page with one that does, such as\n\n    {command}")

"""The tab that builds the command line of a training and, where that is allowed, runs it."""

import asyncio
from functools import partial
from html import escape

import gradio as gr

from ..recipes.methods import METHODS
from ..viz.curves import draw_learning_curve
from . import views
from .commands import FIELDS, GATES, TASKS, Form, check
from .parts import PRIVATE, kindly, others
from .pictures import picture
from .runs import OFF, Runs
from .source import Refused


GLUE = ("", "cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli", "e2e", "webnlg", "dart")


def form(values) -> Form:
    """Of the fields in the order of `FIELDS`.

    Raises:
        Refused: a number is missing.
    """
    given = dict(zip(FIELDS, values, strict=True))
    for name in ("epochs", "learning_rate", "batch_size", "seed"):
        if given[name] is None:
            raise Refused(f"Please give a number for {name.replace('_', ' ')}.")
    whole = {name: int(given[name]) for name in ("batch_size", "seed")}
    texts = {name: given[name] or "" for name in ("task_name", "more", "output_dir")}
    return Form(**given | whole | texts | {"gates": tuple(given["gates"])})


def handlers(runs: Runs) -> dict:
    @kindly
    @others(1)
    async def preview(*values):
        return form(values).line(), ""

    @kindly
    async def checked(*values):
        made = form(values)
        folder = await asyncio.to_thread(check, made.verb, made.words())
        return views.framed(f"<p>The command can be used; the run will be in {escape(folder)}.</p>")

    @kindly
    async def start(*values):
        made = form(values)
        await asyncio.to_thread(runs.start, made.verb, made.words())
        return progress(runs)

    @kindly
    async def resume():
        await asyncio.to_thread(runs.resume)
        return progress(runs)

    @kindly
    async def stop():
        await asyncio.to_thread(runs.stop)
        return progress(runs)

    return {"preview": preview, "checked": checked, "start": start, "resume": resume, "stop": stop}


def progress(runs: Runs) -> str:
    """How the training stands, and the end of its log."""
    return views.framed(f'<p class="lead">{escape(runs.state())}</p><pre tabindex="0">{escape(runs.log())}</pre>')


def curves(runs: Runs) -> str:
    history, metric = runs.history()
    if not history:
        return "<p>Curves appear with the first figures.</p>" if runs.running else ""
    text = f"Loss and {metric or 'no score'} over {history[-1].get('epoch', 0):g} epochs"
    drawn = picture(partial(draw_learning_curve, {"training": history}, metric), text)
    return f'<div class="answer">{drawn}</div>'


def tab(runs: Runs) -> None:
    fields = make_fields()
    call = handlers(runs)
    command = gr.Code(Form(next(iter(TASKS))).line(), label="Command", interactive=False, wrap_lines=True,
                      show_line_numbers=False, buttons=["copy"])  # fmt: skip
    said = gr.HTML()
    gr.on([field.change for field in fields], call["preview"], fields, [command, said], show_progress="hidden",
          trigger_mode="always_last", **PRIVATE)  # fmt: skip
    with gr.Row():
        gr.Button("Check", min_width=90).click(call["checked"], fields, said, **PRIVATE)
        start, stop, resume = (
            gr.Button(name, variant=kind, interactive=runs.enabled, min_width=90)
            for name, kind in (("Start", "primary"), ("Stop", "stop"), ("Resume", "secondary"))
        )
    start.click(call["start"], fields, said, **PRIVATE)
    stop.click(call["stop"], None, said, **PRIVATE)
    resume.click(call["resume"], None, said, **PRIVATE)
    if runs.enabled:
        watch(runs)
    else:
        gr.Markdown(OFF)


def watch(runs: Runs) -> None:
    """State, log and curves, as they come; whoever opens the page later sees the same."""
    state, drawn = gr.HTML(lambda: progress(runs)), gr.HTML(lambda: curves(runs))
    seen = gr.State((0, False))

    def look(before: tuple):
        """The picture is drawn anew when there is more to see."""
        now = (len(runs.history()[0]), runs.running)
        return now, progress(runs), gr.skip() if now == before else curves(runs)

    gr.Timer(2).tick(look, seen, [seen, state, drawn], show_progress="hidden", **PRIVATE)


def make_fields() -> list:
    """In the order of `FIELDS`."""
    default = Form(next(iter(TASKS)))
    with gr.Row():
        task = gr.Dropdown(list(TASKS), value=default.task, label="Task", filterable=False)
        model = gr.Textbox(label="Model to start from", placeholder="google-bert/bert-base-uncased, or a folder")
    with gr.Row():
        task_name = gr.Dropdown(
            list(GLUE), value="", label="Data set by name (GLUE; e2e, webnlg, dart)", filterable=False
        )
        glue_dir = gr.Textbox(label="Folder with the GLUE files")
    with gr.Row():
        train_file = gr.Textbox(label="Training file")
        validation_file = gr.Textbox(label="Validation file")
    with gr.Row():
        adapter = gr.Dropdown(["none", *METHODS], value="none", label="Adapter", filterable=False)
        gates = gr.CheckboxGroup(list(GATES), label="Gates on")
        level = gr.Slider(0, 0.95, value=0.3, step=0.05, label="Inhibition level")
    with gr.Row():
        epochs = gr.Number(default.epochs, label="Epochs", min_width=100)
        rate = gr.Number(default.learning_rate, label="Learning rate", min_width=100, step=1e-5)
        batch = gr.Number(default.batch_size, label="Batch size", precision=0, min_width=100)
        seed = gr.Number(default.seed, label="Seed", precision=0, min_width=100)
    output_dir = gr.Textbox(default.output_dir, label="Folder of the run")
    more = gr.Textbox(label="Further options, as typed in a shell", placeholder="--max_train_samples 1000")
    fields = [task, model, task_name, glue_dir, train_file, validation_file, adapter, gates, level]
    return [*fields, epochs, rate, batch, seed, output_dir, more]

"""The tab that classifies a text or a pair of texts."""

import gradio as gr

from . import views
from .parts import PRIVATE, examples, kindly, menu, missing
from .source import Refused, Source


HEAD = "SequenceClassification"
EXAMPLES = [
    ("A warm, funny and moving film.", ""),
    ("The plot makes no sense at all.", ""),
    ("A man plays the guitar.", "Someone makes music."),
]


def handler(source: Source):
    @kindly
    async def classify(model: str, text: str, pair: str, truncate: bool) -> str:
        if not text.strip():
            raise Refused("Please write a text first.")
        return views.framed(views.label(await source.classify(model, text, pair, truncate)))

    return classify


def tab(source: Source) -> None:
    if not (models := source.named(HEAD)):
        missing("classifies texts", "ginets ui runs/mrpc        # trained by ginets glue")
        return
    model = menu(models)
    text = gr.Textbox(label="Text", lines=3, max_lines=12, placeholder="What is to be classified")
    pair = gr.Textbox(label="Second text (for models of pairs)", lines=1, max_lines=12)
    examples(EXAMPLES, (text, pair))
    with gr.Accordion("Settings", open=False):
        truncate = gr.Checkbox(label="Cut texts that are too long for the model")
    button = gr.Button("Classify", variant="primary")
    output = gr.HTML(label="Result")
    gr.on([button.click, pair.submit], handler(source), [model, text, pair, truncate], output, **PRIVATE)

"""The tab that answers a question from a passage."""

import gradio as gr

from . import views
from .parts import PRIVATE, examples, kindly, menu, missing
from .source import Refused, Source


HEAD = "QuestionAnswering"
PASSAGE = (
    "The lighthouse was built in 1854 by a family of shipowners. It stands on a cliff above the old harbour, and its "
    "lamp could be seen from thirty kilometres away. In 1971 the last keeper, Ada Brandt, left it to an automatic lamp."
)
EXAMPLES = [
    ("When was the lighthouse built?", PASSAGE),
    ("Who was the last keeper?", PASSAGE),
    ("How tall is it?", PASSAGE),
]


def handler(source: Source):
    @kindly
    async def ask(model: str, question: str, passage: str, no_answer: bool, top_k: int, longest: int) -> str:
        for text, name in ((question, "question"), (passage, "passage")):
            if not text.strip():
                raise Refused(f"Please write a {name} first.")
        options = {"no_answer": no_answer, "top_k": int(top_k), "max_answer_length": int(longest)}
        return views.framed(views.highlighted(await source.answer(model, question, passage, **options), passage))

    return ask


def tab(source: Source) -> None:
    if not (models := source.named(HEAD)):
        missing("answers questions", "ginets ui runs/squad       # trained by ginets squad")
        return
    model = menu(models)
    passage = gr.Textbox(label="Passage", lines=6, max_lines=16, placeholder="The text that may hold the answer")
    question = gr.Textbox(label="Question", lines=1, placeholder="Enter asks")
    examples(EXAMPLES, (question, passage))
    with gr.Accordion("Settings", open=False):
        no_answer = gr.Checkbox(label="The passage may hold no answer (models trained on SQuAD 2.0)")
        top_k = gr.Slider(1, 10, value=3, step=1, label="Answers to show")
        longest = gr.Slider(1, 100, value=30, step=1, label="Longest answer, in tokens")
    button = gr.Button("Ask", variant="primary")
    output = gr.HTML(label="Answer")
    fields = [model, question, passage, no_answer, top_k, longest]
    gr.on([button.click, question.submit], handler(source), fields, output, **PRIVATE)

"""The tab that talks to a language model; answers appear as they are written."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from weakref import WeakValueDictionary

import gradio as gr

from .parts import PRIVATE, examples, explained, menu, missing
from .source import Refused, Source
from .views import notice


HEAD = "CausalLM"
EXAMPLES = [("Why is the sky blue?",), ("Write two lines about the sea.",), ("What is 17 times 3?",)]


def text_of(content) -> str:
    """Of a message as Gradio keeps it: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def handler(source: Source, writing: MutableMapping[str, asyncio.Task]):
    """What answers a message; in `writing` it notes, by session, the task that does so."""

    async def chat(
        model: str,
        said: str,
        turns: list,
        system: str,
        temperature: float,
        top_p: float,
        longest: int,
        request: gr.Request,
    ) -> AsyncIterator[tuple]:
        """Yields the field's new text, the turns, and a sentence if something is wrong; a text that got no answer
        goes back into its field."""
        writing[request.session_hash] = asyncio.current_task()
        turns = [{"role": each["role"], "content": text_of(each["content"])} for each in turns]
        asked = [*turns, {"role": "user", "content": said}]
        answer = ""
        try:
            if not said.strip():
                raise Refused("Please write something first.")
            messages = ([{"role": "system", "content": system}] if system.strip() else []) + asked
            options = {"temperature": temperature, "top_p": top_p, "max_tokens": int(longest)}
            yield "", asked, ""
            async for piece in source.chat(model, messages, **options):
                answer += piece
                yield "", [*asked, {"role": "assistant", "content": answer}], ""
            if not answer:
                raise Refused("The model ended without a word; ask in other words, or at a higher temperature.")
        except Exception as error:  # the outermost layer: whatever it was, the page goes on
            kept = [*asked, {"role": "assistant", "content": answer}] if answer else turns
            yield "" if answer else said, kept, notice(explained(error))

    return chat


def cleaner(writing: MutableMapping[str, asyncio.Task]):
    """What begins a new conversation. The page does not wait for an answer to be cancelled: a piece of it that came
    after the empty conversation would bring the old one back."""

    async def clear(request: gr.Request) -> tuple:
        if task := writing.get(request.session_hash):
            await asyncio.wait([task])
        return [], ""

    return clear


def tab(source: Source) -> None:
    if not (models := source.named(HEAD)):
        missing("writes texts", "ginets ui runs/alpaca      # trained by ginets train")
        return
    model = menu(models)
    turns = gr.Chatbot(label="Conversation", height="24rem", buttons=["copy"])
    said = gr.Textbox(label="Message", lines=1, max_lines=8, placeholder="Enter sends, Shift+Enter begins a line")
    examples(EXAMPLES, (said,))
    with gr.Row():
        send = gr.Button("Send", variant="primary", min_width=100)
        stop = gr.Button("Stop", min_width=100)
        clear = gr.Button("New conversation", min_width=100)
    output = gr.HTML()
    with gr.Accordion("Settings", open=False):
        system = gr.Textbox("", label="Message of the system", lines=1, max_lines=8)
        temperature = gr.Slider(0, 2, value=0.7, step=0.1, label="Temperature (0: always the likeliest token)")
        top_p = gr.Slider(0.05, 1, value=0.95, step=0.05, label="Top p (draw from this share of the likeliest tokens)")
        longest = gr.Slider(1, 1024, value=256, step=1, label="Longest answer, in tokens")
    fields = [model, said, turns, system, temperature, top_p, longest]
    tasks = WeakValueDictionary()
    writing = gr.on([send.click, said.submit], handler(source, tasks), fields, [said, turns, output], show_progress="hidden", **PRIVATE)  # fmt: skip
    stop.click(None, cancels=[writing], **PRIVATE)
    clear.click(cleaner(tasks), None, [turns, output], cancels=[writing], **PRIVATE)

"""The tab that talks to a language model; answers appear as they are written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import gradio as gr

from .parts import PRIVATE, examples, explained, menu, missing
from .source import Refused, Source
from .views import notice


HEAD = "CausalLM"
DRAWN = 0.05  # seconds between two looks of the page at an answer: it draws more slowly than a small model writes
EXAMPLES = [("Why is the sky blue?",), ("Write two lines about the sea.",), ("What is 17 times 3?",)]


def text_of(content) -> str:
    """Of a message as Gradio keeps it: a text, or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


class Conversation:
    """Of one visitor: the answer being written, which can be ended, and whether what the page shows still counts.

    Gradio's own cancelling is not used: the page neither waits for it, so that a piece on its way brings an old
    conversation back, nor keeps listening for what begins in the same moment. All of it runs in one loop."""

    def __init__(self) -> None:
        self.writing: asyncio.Task | None = None
        self.cleared = False

    async def follow(self, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
        """Until they end, or `stop` is called; those that come faster than they are drawn come together."""
        arrived = []

        async def write() -> None:
            async for piece in pieces:
                arrived.append(piece)

        self.writing = writing = asyncio.create_task(write())
        try:
            while not writing.cancelled() and (arrived or not writing.done()):
                await asyncio.wait([writing], timeout=DRAWN)
                together = "".join(arrived)
                arrived.clear()
                if together:
                    yield together
            if not writing.cancelled():
                writing.result()  # raises what the pieces raised
        finally:
            writing.cancel()

    async def stop(self) -> None:
        if self.writing:
            self.writing.cancel()

    async def clear(self) -> tuple:
        """The turns and the sentence of a new conversation."""
        await self.stop()
        self.cleared = True
        return [], ""

    async def settle(self) -> tuple:
        """After an answer: the page may have drawn the last of it over a conversation begun meanwhile."""
        return ([], "") if self.cleared else (gr.skip(), gr.skip())


def handler(source: Source):
    """What answers a message."""

    async def chat(
        conversation: Conversation,
        model: str,
        said: str,
        turns: list,
        system: str,
        temperature: float,
        top_p: float,
        longest: int,
    ) -> AsyncIterator[tuple]:
        """Yields the field's new text, the turns, and a sentence if something is wrong; a text that got no answer
        goes back into its field."""
        turns = [] if conversation.cleared else turns
        conversation.cleared = False
        turns = [{"role": each["role"], "content": text_of(each["content"])} for each in turns]
        asked = [*turns, {"role": "user", "content": said}]
        answer = ""
        try:
            if not said.strip():
                raise Refused("Please write something first.")
            messages = ([{"role": "system", "content": system}] if system.strip() else []) + asked
            options = {"temperature": temperature, "top_p": top_p, "max_tokens": int(longest)}
            yield "", asked, ""
            if conversation.cleared:
                return
            async with aclosing(conversation.follow(source.chat(model, messages, **options))) as pieces:
                async for piece in pieces:
                    answer += piece
                    yield gr.skip(), [*asked, {"role": "assistant", "content": answer}], ""
            if answer or conversation.cleared:
                return
            if not conversation.writing.cancelled():
                raise Refused("The model ended without a word; ask in other words, or at a higher temperature.")
            yield said, turns, ""
        except Exception as error:  # the outermost layer: whatever it was, the page goes on
            kept = [*asked, {"role": "assistant", "content": answer}] if answer else turns
            yield gr.skip() if answer else said, kept, notice(explained(error))

    return chat


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
    conversation = gr.State(Conversation())
    fields = [conversation, model, said, turns, system, temperature, top_p, longest]
    answered = gr.on([send.click, said.submit], handler(source), fields, [said, turns, output], show_progress="hidden", **PRIVATE)  # fmt: skip
    answered.then(Conversation.settle, conversation, [turns, output], show_progress="hidden", **PRIVATE)
    stop.click(Conversation.stop, conversation, None, **PRIVATE)
    clear.click(Conversation.clear, conversation, [turns, output], **PRIVATE)

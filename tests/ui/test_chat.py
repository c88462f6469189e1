"""An answer can be ended at any moment, and nothing of an old conversation comes back into a new one."""

import asyncio

import gradio as gr
import pytest

from ginets.ui.chat import Conversation, handler
from ginets.ui.source import Refused


SKIP = gr.skip()


class Writer:
    """A source that writes its pieces, and then fails, or never ends."""

    def __init__(self, pieces=(), error: Exception | None = None, endless: bool = False) -> None:
        self.pieces, self.error, self.endless = pieces, error, endless
        self.asked, self.ended = [], False

    async def chat(self, model, messages, **options):
        self.asked.append(messages)
        try:
            for piece in self.pieces:
                yield piece
            if self.error:
                raise self.error
            while self.endless:
                await asyncio.sleep(0)
                yield "word "
        finally:
            self.ended = True


def answer(conversation: Conversation, source: Writer, said: str = "c d e", turns=()):
    return handler(source)(conversation, "m", said, list(turns), "", 0.0, 1.0, 9)


async def all_of(shown) -> list:
    return [each async for each in shown]


async def ended_at(count: int, end, conversation: Conversation, source: Writer) -> tuple[list, object]:
    """What an answer shows that is ended by `end` once so many were shown, and what `end` returned."""
    shown, returned = [], None
    async for each in answer(conversation, source):
        shown.append(each)
        if len(shown) == count:
            returned = await end(conversation)
    return shown, returned


def test_pieces_that_come_at_once_are_drawn_at_once_and_the_field_is_left_alone():
    shown = asyncio.run(all_of(answer(Conversation(), Writer(["a ", "b ", "c"]))))
    asked = {"role": "user", "content": "c d e"}
    assert shown == [("", [asked], ""), (SKIP, [asked, {"role": "assistant", "content": "a b c"}], "")]


@pytest.mark.parametrize("pieces", [(), ("a ", "b")])
def test_an_error_keeps_what_was_written(pieces):
    *_, (field, turns, sentence) = asyncio.run(all_of(answer(Conversation(), Writer(pieces, Refused("Too long.")))))
    assert "Too long." in sentence
    assert field == (SKIP if pieces else "c d e")
    assert [turn["content"] for turn in turns] == (["c d e", "a b"] if pieces else [])


def test_an_answer_without_a_word_is_said():
    *_, (field, turns, sentence) = asyncio.run(all_of(answer(Conversation(), Writer())))
    assert (field, turns) == ("c d e", [])
    assert "without a word" in sentence


def test_stopping_ends_the_answer_and_keeps_it():
    async def run():
        conversation, source = Conversation(), Writer(endless=True)
        shown, _ = await ended_at(3, Conversation.stop, conversation, source)
        return source, shown, await conversation.settle()

    source, shown, settled = asyncio.run(run())
    assert source.ended
    assert shown[-1][1][-1]["content"].startswith(shown[2][1][-1]["content"])
    assert shown[-1][2] == "" and len(shown) <= 4  # at most what had come before
    assert settled == (SKIP, SKIP)


@pytest.mark.parametrize("end", [Conversation.stop, Conversation.clear])
def test_stopping_before_the_first_word_gives_the_message_back(end):
    """A new conversation does not: something else may be in the field by then."""

    class Silent(Writer):
        async def chat(self, model, messages, **options):
            await asyncio.sleep(60)
            yield "late"

    async def run():
        conversation = Conversation()
        shown = asyncio.create_task(all_of(answer(conversation, Silent())))
        while conversation.writing is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await end(conversation)
        return await shown

    _, *more = asyncio.run(run())
    assert more == ([("c d e", [], "")] if end is Conversation.stop else [])


def test_a_new_conversation_ends_the_old_one_and_clears_what_is_drawn_after_it():
    async def run():
        conversation, source = Conversation(), Writer(endless=True)
        shown, cleared = await ended_at(3, Conversation.clear, conversation, source)
        settled = await conversation.settle()
        late = shown[-1][1]  # the page may still show it, and send it
        *_, (_, turns, _) = await all_of(answer(conversation, later := Writer(["new"]), "f", late))
        return source.ended, cleared, settled, later.asked, turns, await conversation.settle()

    ended, cleared, settled, asked, turns, after = asyncio.run(run())
    assert ended
    assert cleared == settled == ([], "")
    assert asked == [[{"role": "user", "content": "f"}]]
    assert [turn["content"] for turn in turns] == ["f", "new"]
    assert after == (SKIP, SKIP)


def test_a_new_conversation_before_anything_was_asked_of_the_model():
    source = Writer(endless=True)
    shown, _ = asyncio.run(ended_at(1, Conversation.clear, Conversation(), source))
    assert source.asked == [] and len(shown) == 1


def test_who_leaves_the_page_ends_the_answer():
    async def run():
        source = Writer(endless=True)
        shown = answer(conversation := Conversation(), source)
        for _ in range(3):
            await anext(shown)
        await shown.aclose()
        await asyncio.wait([conversation.writing])
        return source.ended

    assert asyncio.run(run())

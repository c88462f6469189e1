"""A new conversation begins when nothing of the old one can come any more, however late its cancelling arrives."""

import asyncio
from types import SimpleNamespace
from weakref import WeakValueDictionary

from ginets.ui.chat import cleaner, handler


class Endless:
    async def chat(self, model, messages, **options):
        while True:
            yield "word "
            await asyncio.sleep(0)


def test_clearing_waits_for_the_answer_that_is_being_written():
    async def run() -> tuple[list, tuple, tuple]:
        tasks, shown = WeakValueDictionary(), []
        chat, clear = handler(Endless(), tasks), cleaner(tasks)
        mine, other = SimpleNamespace(session_hash="mine"), SimpleNamespace(session_hash="other")

        async def write() -> None:
            async for _, turns, _ in chat("m", "c d e", [], "", 0.0, 1.0, 9, mine):
                shown.append(turns)

        writing = asyncio.create_task(write())
        while len(shown) < 3:
            await asyncio.sleep(0)
        elsewhere = await clear(other)  # does not wait
        clearing = asyncio.create_task(clear(mine))
        before = len(shown)
        while len(shown) < before + 3:
            await asyncio.sleep(0)
        assert not clearing.done()
        writing.cancel()
        cleared = await clearing
        assert writing.done()
        again = await clear(mine)  # nothing is being written
        return shown, elsewhere, cleared, again

    shown, *cleared = asyncio.run(run())
    assert shown[2][-1] == {"role": "assistant", "content": "word word "}
    assert cleared == [([], "")] * 3

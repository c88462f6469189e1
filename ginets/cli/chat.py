"""`ginets chat MODEL`: talk to a language model in the terminal."""

from contextlib import suppress
from types import SimpleNamespace
from typing import Annotated, Literal

from typer import Argument, Option

from . import decoding
from .decoding import read_decoding
from .generate import find_language_model


EXAMPLES = """
ginets chat runs/alpaca-ina --sample --temperature 0.7 --top-p 0.9
ginets chat my-llama --system "You answer in one sentence."
"""
MAX_NEW_TOKENS = 256


def main(
    model: Annotated[str, Argument(metavar="MODEL", help="A language model or an adapter: folder or Hub name.")],
    template: Annotated[
        Literal["auto", "chat", "alpaca"],
        Option(
            help="How turns are written: by the tokenizer's chat template, or as Alpaca's instructions; "
            "auto: the former if there is one."
        ),
    ] = "auto",
    system: Annotated[str, Option(metavar="TEXT", help="What a chat template is to say first.")] = "",
    dtype: decoding.Dtype = "float32",
    max_new_tokens: decoding.MaxNewTokens = None,
    no_repeat_ngram: decoding.NoRepeatNgram = None,
    sample: decoding.Sample = None,
    temperature: decoding.Temperature = None,
    top_k: decoding.TopK = None,
    top_p: decoding.TopP = None,
    seed: decoding.Seed = None,
) -> None:
    """Talk to a language model or a live adapter.

    /clear forgets what was said, /exit or Ctrl-D ends, Ctrl-C stops an answer.
    """
    talk(*open_conversation(SimpleNamespace(**locals())))


def open_conversation(options: SimpleNamespace) -> tuple:
    """The model, an empty conversation, and how many tokens it may grow to."""
    from ..data.templates import ALPACA
    from ..generation.conversation import Conversation
    from ..generation.decoding import Decoding
    from ..generation.writer import load_writer

    decoding = read_decoding(options, Decoding(max_new_tokens=MAX_NEW_TOKENS))
    tokenizer, limit = find_language_model(options.model)
    by_chat = options.template == "chat" or (options.template == "auto" and tokenizer.chat_template is not None)
    conversation = Conversation(tokenizer, None if by_chat else ALPACA, options.system)
    if limit and limit <= decoding.max_new_tokens:
        raise ValueError(f"--max-new-tokens is {decoding.max_new_tokens}; the model has {limit} positions in all.")
    return load_writer(options.model, decoding, options.dtype), conversation, limit and limit - decoding.max_new_tokens


def talk(writer, conversation, room: int | None) -> None:
    """Ask and answer until there is no more to read."""
    with suppress(ImportError):  # where there is one, lines can be edited
        import readline  # noqa: F401
    count = 0
    while True:
        try:
            question = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if question == "/exit":
            return
        if question == "/clear":
            conversation.turns.clear()
        elif question.startswith("/"):
            print("commands: /clear, /exit")
        elif question:
            answer(writer, conversation, room, question, count)
            count += 1


def answer(writer, conversation, room: int | None, question: str, number: int) -> None:
    """Print the answer as it is written, and remember it; one that is stopped is forgotten, with its question."""
    from transformers import TextStreamer

    from ..generation.run import batch_seed

    forgotten = len(conversation.turns)
    try:
        prompt = conversation.prompt(question, room)
    except ValueError as error:
        print(error)
        return
    if forgotten := forgotten - len(conversation.turns):
        print(f"({forgotten} of the oldest turns are forgotten: there is room for {room} tokens)")
    streamer = TextStreamer(writer.tokenizer, skip_prompt=True, skip_special_tokens=True)
    try:
        (ids,) = writer.write([prompt], batch_seed(writer.decoding.seed, number), streamer)
    except KeyboardInterrupt:
        print("\n(stopped)")
        return
    conversation.add(question, writer.text(ids))

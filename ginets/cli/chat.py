"""`ginets chat MODEL`: talk to a language model in the terminal."""

import argparse
from contextlib import suppress

from .decoding import decoding_arguments, read_decoding
from .errors import in_one_line
from .generate import DTYPES, find_language_model


DESCRIPTION = """Talk to a language model or a live adapter. /clear forgets what was said, /exit or Ctrl-D ends,
Ctrl-C stops an answer."""
CHOICE = ("max_new_tokens", "no_repeat_ngram", "sample", "temperature", "top_k", "top_p", "seed")
MAX_NEW_TOKENS = 256
TEMPLATES = ("auto", "chat", "alpaca")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ginets chat", description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a language model or an adapter: folder or Hub name")
    add("--template", choices=TEMPLATES, default="auto", help="how turns are written: as the tokenizer's chat template has it, or as Alpaca's instructions [default: the former if there is one]")  # fmt: skip
    add("--system", default="", metavar="TEXT", help="what a chat template is to say first")
    add("--dtype", choices=DTYPES, default="float32", help="to run the model in [default: float32]")
    decoding_arguments(parser, CHOICE)
    options = parser.parse_args(arguments)
    with in_one_line(parser):
        writer, conversation, room = open_conversation(options)
    talk(writer, conversation, room)
    return 0


def open_conversation(options: argparse.Namespace) -> tuple:
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

"""Rows of instruction data as prompts: all up to the last answer."""

from transformers import PreTrainedTokenizerBase

from ..data.instruct import check_instruction, segments
from ..data.records import check_object
from ..data.segments import Segment, Segments, prompt_of
from ..data.templates import ALPACA, Template


ANSWER = {"role": "assistant", "content": "-"}  # any; what stands before it is the prompt


def prompt(record: object, tokenizer: PreTrainedTokenizerBase, template: Template = ALPACA) -> Segments:
    """A row with `instruction` and perhaps `input`, or with `messages` that end with the user's or with an answer.

    An answer that is there is left out.

    Raises:
        DataError: what is wrong with the row.
    """
    record = check_object(record)
    if "messages" not in record:
        instruction, input, _ = check_instruction(record, output=False)
        return (Segment(template.prompt(instruction, input)),)
    if open_ended(record["messages"]):
        record = {**record, "messages": [*record["messages"], ANSWER]}
    return prompt_of(segments(record, tokenizer, template))


def open_ended(messages: object) -> bool:
    """Whether the user has the last word."""
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "user"

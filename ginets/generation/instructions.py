"""Rows of instruction data as prompts: all up to the last answer."""

from transformers import PreTrainedTokenizerBase

from ..data.instruct import check_instruction, check_messages, segments
from ..data.records import check_object
from ..data.segments import Segment, Segments, prompt_of
from ..data.templates import ALPACA, Template


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
    messages = record["messages"]
    if (
        isinstance(messages, list)
        and messages
        and isinstance(messages[-1], dict)
        and messages[-1].get("role") == "user"
    ):
        asked = check_messages([*messages, {"role": "assistant", "content": "-"}])[:-1]
        rendered = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        return (Segment(rendered),)
    return prompt_of(segments(record, tokenizer, template))

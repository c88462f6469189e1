"""How an instruction becomes a prompt: one object for training, generation, chat and evaluation."""

from dataclasses import dataclass

from .segments import Segments, completion


@dataclass(frozen=True)
class Template:
    """A prompt of headings, each on a line of its own.

    Attributes:
        preamble: what stands first, without an input.
        preamble_with_input: the same where there is an input.
        instruction, input, response: the headings.
    """

    preamble: str
    preamble_with_input: str
    instruction: str = "### Instruction:"
    input: str = "### Input:"
    response: str = "### Response:"

    def prompt(self, instruction: str, input: str = "") -> str:
        """What the model reads. It ends with a line feed: the answer begins a line."""
        parts = [self.preamble_with_input if input else self.preamble, f"{self.instruction}\n{instruction}"]
        parts += [f"{self.input}\n{input}"] if input else []
        return "\n\n".join([*parts, f"{self.response}\n"])

    def segments(self, instruction: str, output: str, input: str = "") -> Segments:
        """A row to train on."""
        return completion(self.prompt(instruction, input), output)

    def answer(self, text: str) -> str:
        """The answer in a generated text: without the prompt, if it is there, and without further turns."""
        if text.lstrip().startswith((self.preamble, self.preamble_with_input)):
            text = text.partition(self.response)[2]
        return min((text.partition(each)[0] for each in (self.instruction, self.response)), key=len).strip()


# The words of Stanford Alpaca, which models trained with them know; a line feed behind the last heading, as Alpaca-LoRA
# and LLM-Adapters have it.
ALPACA = Template(
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.",
)

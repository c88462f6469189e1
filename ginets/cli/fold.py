"""`ginets fold BASE ADAPTER FOLDER`: Llama + InA adapter to a native LlamaInA checkpoint."""

from .adapted import Adapter, Base, Folder, check_new, load_adapted


EXAMPLES = """
ginets fold meta-llama/Llama-3.2-1B my-adapter my-model
"""


def main(base: Base, adapter: Adapter, folder: Folder) -> None:
    """Turn a Llama with an InA adapter into a native model.

    The LlamaInA checkpoint has the same outputs and needs no PEFT.
    """
    check_new(folder)
    from .. import fold
    from ..tuners.fold import find_tokenizer

    native = fold(load_adapted(base, adapter), folder, find_tokenizer(adapter))
    print(f"{folder}: {type(native).__name__}")

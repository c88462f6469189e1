"""`ginets fold BASE ADAPTER FOLDER`: Llama + InA adapter to a native LlamaInA checkpoint."""

from .adapted import parse
from .errors import in_one_line


def main(arguments: list[str]) -> int:
    parser, given = parse(
        "fold", "Turn a Llama with an InA adapter into a native LlamaInA checkpoint: same outputs, no PEFT.", arguments
    )
    with in_one_line(parser):
        from .. import fold
        from ..tuners.fold import find_tokenizer
        from .adapted import load_adapted

        native = fold(load_adapted(given.base, given.adapter), given.folder, find_tokenizer(given.adapter))
    print(f"{given.folder}: {type(native).__name__}")
    return 0

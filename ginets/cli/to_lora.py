"""`ginets to-lora BASE ADAPTER FOLDER`: an adapter to plain LoRA, where that is exact."""

from .adapted import parse
from .errors import in_one_line


def main(arguments: list[str]) -> int:
    parser, given = parse(
        "to-lora", "Write an adapter as a plain LoRA adapter with the same outputs, if there is one.", arguments
    )
    with in_one_line(parser):
        from .. import to_lora
        from .adapted import load_adapted

        to_lora(load_adapted(given.base, given.adapter), given.folder)
    print(f"{given.folder}: LoRA")
    return 0

"""`ginets to-lora BASE ADAPTER FOLDER`: an adapter to plain LoRA, where that is exact."""

from .adapted import Adapter, Base, Folder, check_new, load_adapted


EXAMPLES = """
ginets to-lora google-bert/bert-base-uncased runs/mtlora plain-lora
"""


def main(base: Base, adapter: Adapter, folder: Folder) -> None:
    """Write an adapter as plain LoRA, where that is exact."""
    check_new(folder)
    from .. import to_lora

    to_lora(load_adapted(base, adapter), folder)
    print(f"{folder}: LoRA")

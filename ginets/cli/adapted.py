"""What the verbs that take a base and an adapter share: arguments, and loading the two."""

from pathlib import Path
from typing import Annotated

from typer import Argument


Base = Annotated[str, Argument(metavar="BASE", help="The base model: folder or name on the Hub.")]
Adapter = Annotated[str, Argument(metavar="ADAPTER", help="The adapter: folder or name on the Hub.")]
Folder = Annotated[Path, Argument(metavar="FOLDER", help="New folder for the result.")]


def check_new(folder: Path) -> None:
    """Refuse a folder with something in it; it might be BASE."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"{folder} is there and not empty; give a new folder.")


def load_adapted(base: str, adapter: str):
    """`base` with `adapter`, as the model class the adapter was made for, with the gates and labels it was trained with.

    Raises:
        ValueError: it cannot be loaded.
    """
    from ..hub.load import ADAPTER_CONFIG, ModelSource

    source = ModelSource(adapter, other_base=base)
    if source.adapter is None:
        raise ValueError(f"no adapter at {adapter!r}: there is no {ADAPTER_CONFIG}.")
    return source.model("auto")

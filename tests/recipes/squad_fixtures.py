"""A tiny untrained BERT and questions it learns to answer in seconds, for tests of the recipe."""

import json
import random
from pathlib import Path

from transformers import BertConfig, BertModel, BertTokenizer


ANSWERS, FILLER = ("gold", "silver", "iron"), ("a", "film", "book", "very", "it", "was", "the", "of")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_model(folder: Path, **config) -> Path:
    """Write config, vocabulary and weights of a backbone with one layer."""
    words = [*SPECIAL, *ANSWERS, *FILLER, "which", "metal", "?", "."]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    shape = {
        "vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 32, "max_position_embeddings": 32, "initializer_range": 0.2, "hidden_dropout_prob": 0.05,
    }  # fmt: skip
    BertModel(BertConfig(**shape | config)).save_pretrained(folder)
    return folder


def make_squad(path: Path, questions: int = 120, unanswerable: int = 3, seed: int = 0) -> Path:
    """Write official JSON. The answer is the only metal of the text; every `unanswerable`-th text has none.

    Texts are of 4 to 40 words, so that some need several windows of 24 tokens.
    """
    rng, paragraphs = random.Random(f"{path.name}{seed}"), []
    for i in range(questions):
        text, asked = [*rng.choices(FILLER, k=rng.randint(3, 39))], i % unanswerable if unanswerable else 1
        answer, at = rng.choice(ANSWERS), rng.randint(0, len(text))
        if asked:
            text.insert(at, answer)
        golds = [{"text": answer, "answer_start": len(" ".join([*text[:at], ""]))}] if asked else []
        question = {"id": f"q{i}", "question": "Which metal?", "answers": golds}
        question |= {"is_impossible": not asked} if unanswerable else {}
        paragraphs.append({"context": " ".join(text) + ".", "qas": [question]})
    path.write_text(json.dumps({"version": "x", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path

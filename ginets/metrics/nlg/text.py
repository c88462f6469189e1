"""The forms in which the official scripts compare texts. Each takes a list of texts and returns one of the same length."""

import re
from functools import cache

from ...extras import require


# What nltk's word_tokenize does to words that are already split at every non-word character.
TREEBANK = {
    "cannot": "can not", "gimme": "gim me", "gonna": "gon na", "gotta": "got ta", "lemme": "lem me", "wanna": "wan na",
    '"': "``",
}  # fmt: skip


def plain(texts: list[str]) -> list[str]:
    """As it is, on one line, without white space at the ends."""
    return [" ".join(text.splitlines()).strip() for text in texts]


def mteval_words(text: str) -> list[str]:
    """The words of mteval-v13a, lower-cased. An empty text has one, which is empty, as in the E2E script."""
    return _mteval()(text).lower().split(" ")


@cache
def _mteval():
    return require("sacrebleu.tokenizers.tokenizer_13a", extra="nlg").Tokenizer13a()


def words(texts: list[str]) -> list[str]:
    """Lower-cased and split at every non-word character: what LoRA's decoding writes (`--tokenize --lower`)."""
    return [" ".join(" ".join(re.split(r"(\W)", text.lower())).split()) for text in texts]


def treebank(texts: list[str]) -> list[str]:
    """`words`, as nltk's `word_tokenize` leaves them, which GenerationEval applies before METEOR and TER.

    Little is left to do for it: contractions without apostrophe are still in one piece, and every double quote has a
    space before it, so that it counts as an opening one.
    """
    return [" ".join(TREEBANK.get(word, word) for word in text.split(" ")) for text in words(texts)]

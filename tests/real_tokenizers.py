"""Fast tokenizers of every family with real vocabularies: `TOKENIZERS[name](folder of the real data)`."""

import struct

import pytest
from transformers import AutoTokenizer, DebertaV2Tokenizer, LlamaTokenizer, RobertaTokenizer


def deberta(folder) -> DebertaV2Tokenizer:
    """DeBERTa-v2's own pipeline on a real unigram vocabulary."""
    pieces = pytest.importorskip("sentencepiece").SentencePieceProcessor(
        model_file=str(folder / "albert-spiece.model")
    )
    vocab = [(pieces.id_to_piece(i), pieces.get_score(i)) for i in range(pieces.get_piece_size())]
    return DebertaV2Tokenizer(vocab=vocab, unk_token="<unk>", pad_token="<pad>", do_lower_case=True)


def llama(folder, **options) -> LlamaTokenizer:
    """Llama's own pipeline on the real vocabulary of the tiny stories model; merges follow from its scores."""
    raw, at, pieces = (folder / "tok512.bin").read_bytes(), 4, []
    while at < len(raw):
        score, size = struct.unpack_from("<fi", raw, at)
        pieces.append((raw[at + 8 : at + 8 + size].decode("utf-8", "replace").replace(" ", "▁"), score))
        at += 8 + size
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(word for word, _ in pieces[259:])]
    vocab = {word: i for i, word in enumerate(words)}
    pairs = [(-pieces[vocab[w]][1], w[:k], w[k:]) for w in words[259:] for k in range(1, len(w))]
    merges = [(a, b) for _, a, b in sorted(pairs, key=lambda pair: pair[0]) if a in vocab and b in vocab]
    return LlamaTokenizer(vocab=vocab, merges=merges, pad_token="<unk>", **options)


TOKENIZERS = {
    "bert": lambda data: AutoTokenizer.from_pretrained(data / "tokenizers" / "bert-cased"),
    "roberta": lambda data: RobertaTokenizer.from_pretrained(data / "tokenizers" / "roberta"),
    "roberta, spaced": lambda data: RobertaTokenizer.from_pretrained(data / "tokenizers" / "roberta", add_prefix_space=True),
    "deberta": lambda data: deberta(data / "tokenizers"),
    "llama": lambda data: llama(data / "checkpoints" / "stories260K"),
    "llama, bos": lambda data: llama(data / "checkpoints" / "stories260K", add_bos_token=True),
    "llama, eos": lambda data: llama(data / "checkpoints" / "stories260K", add_eos_token=True),
}  # fmt: skip

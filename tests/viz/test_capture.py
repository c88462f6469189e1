"""What a capture says of the tokens: labels, special tokens, offsets; inputs that are too long or empty."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ginets.viz.attention import attention_weights, capture, encode, labels_of
from tests import tiny, words


def test_capture_of_a_pair():
    model, tokenizer = words.bert(), words.tokenizer()
    attention = capture(model, tokenizer, "a  b ?", "c x.")
    assert attention.tokens == ("[CLS]", "a", "b", "?", "[SEP]", "c", "[UNK]", ".", "[SEP]")
    assert attention.special.tolist() == [True, False, False, False, True, False, False, False, True]
    assert attention.text_ids.tolist() == [-1, 0, 0, 0, -1, 1, 1, 1, -1]
    assert attention.offsets.tolist() == [[0, 0], [0, 1], [3, 4], [5, 6], [0, 0], [0, 1], [2, 3], [3, 4], [0, 0]]
    ids = tokenizer("a b ?", "c x.", return_tensors="pt")
    expected = torch.cat(attention_weights(model, **ids)).numpy()
    np.testing.assert_array_equal(attention.weights, expected)
    assert attention.weights.dtype == np.float32 and attention.weights.shape == (2, 2, 9, 9)
    half = capture(model.to(torch.bfloat16), tokenizer, "a  b ?", "c x.")
    assert half.weights.dtype == np.float32 and np.abs(half.weights - expected).max() < 0.1


def test_long_and_empty_texts():
    model, tokenizer = words.bert(), words.tokenizer()
    long = "a b c d " * 20
    with pytest.raises(ValueError, match="the text has 82 tokens, the model takes 64; give max_length"):
        capture(model, tokenizer, long)
    assert len(capture(model, tokenizer, long, max_length=10).tokens) == 10
    assert len(capture(model, tokenizer, long, max_length=1000).tokens) == 64
    with pytest.raises(ValueError, match="max_length is 0"):
        capture(model, tokenizer, long, max_length=0)
    roberta = tiny.stock_config("roberta_gi")  # positions begin after that of padding, which is 1
    with pytest.raises(ValueError, match="the model takes 62"):
        encode(tokenizer, roberta, long)
    with pytest.raises(ValueError, match="the text is empty"):
        encode(byte_level(), model.config, "")


def byte_level() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(["red bag bags"] * 9, trainers.BpeTrainer(vocab_size=270, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_labels_are_text():
    """Byte tokens appear as the characters that they are part of, pieces of a word are marked."""
    tokenizer, text = byte_level(), "red bag-ü \nbag"
    encoding = tokenizer(text, return_offsets_mapping=True)
    assert "".join(encoding.tokens(0)) == "redĠbag-Ã¼ĠĊbag"
    labels = labels_of(tokenizer, encoding, text)
    assert "red" in labels and "bag" in labels and not set("ĠĊÃ") & set("".join(labels))
    assert [label for label in labels if "ü" in label] in (["ü", "##ü"], ["##ü", "##ü"])  # two bytes of one character
    assert "⏎" in labels and "␣" in labels
    for text, expected in (("日", ("日", "##日", "##日")), ("a 日", ("a", "␣", "日", "##日", "##日"))):
        encoding = tokenizer(text, return_offsets_mapping=True)
        assert labels_of(tokenizer, encoding, text) == expected
    encoding["offset_mapping"][1] = (2, 2)  # some tokenizers leave the blank out of its own token
    assert labels_of(tokenizer, encoding, text)[1] == "␣"


def test_token_types_reach_the_model():
    model, tokenizer = words.bert(), words.tokenizer()
    plain = capture(model, tokenizer, "a b", "c d")
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    typed = capture(model, tokenizer, "a b", "c d")
    ids = tokenizer("a b", "c d", return_tensors="pt")
    assert ids["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    np.testing.assert_array_equal(typed.weights, torch.cat(attention_weights(model, **ids)).numpy())
    assert not np.allclose(typed.weights, plain.weights, atol=1e-3)

"""Segments to ids and labels: what is read, what is written, where texts begin, end and are cut."""

import pytest
from datasets import Dataset

from ginets.data.segments import IGNORED, Segment, completion, encode, prompt_of
from ginets.data.tabular import DataError
from tests.tiny_language import SPECIAL, make_tokenizer


END = SPECIAL.index("<end>")


def decoded(tokenizer, row) -> tuple[str, list[str]]:
    """The whole text, and the tokens with a label."""
    labelled = [tokenizer.convert_ids_to_tokens(label) for label in row["labels"] if label != IGNORED]
    return tokenizer.decode(row["input_ids"]), labelled


def test_only_the_answer_is_learnt_and_the_end_after_it():
    tokenizer = make_tokenizer()
    (row,) = encode([completion("a b c", " d e")], tokenizer, 20)
    assert decoded(tokenizer, row) == ("a b c d e <end>", ["d", "e", "<end>"])
    assert row["labels"] == [IGNORED] * 3 + row["input_ids"][3:] and row["length"] == 6


def test_published_data_to_text_form_has_an_end_between_facts_and_text():
    tokenizer = make_tokenizer()
    (row,) = encode([(Segment("a b", end=True), Segment(" c", trained=True, end=True))], tokenizer, 20)
    assert row["input_ids"] == [*tokenizer("a b")["input_ids"], END, *tokenizer("c")["input_ids"], END]
    assert row["labels"][:3] == [IGNORED] * 3 and row["labels"][3:] == row["input_ids"][3:]


def test_dialogue_has_several_answers():
    tokenizer = make_tokenizer()
    dialogue = (Segment("a"), Segment("b", True), Segment("c"), Segment("d", True, True))
    (row,) = encode([dialogue], tokenizer, 20)
    assert decoded(tokenizer, row)[1] == ["b", "d", "<end>"]
    assert prompt_of(dialogue) == dialogue[:3] and prompt_of(dialogue[:1]) == dialogue[:1]


def test_prompt_can_be_learnt_but_never_the_first_token():
    tokenizer = make_tokenizer()
    (row,) = encode([completion("a b", "c")], tokenizer, 20, train_on_prompt=True)
    assert row["labels"] == [IGNORED, *row["input_ids"][1:]]
    (row,) = encode([(Segment("a b", trained=True),)], tokenizer, 20)
    assert row["labels"][0] == IGNORED


def test_begin_token_of_the_tokenizer_stands_first_once():
    tokenizer = make_tokenizer(begin=True)
    begin = SPECIAL.index("<begin>")
    for text in ("a b", "<begin>a b"):
        (row,) = encode([completion(text, "c")], tokenizer, 20)
        assert row["input_ids"][0] == begin and row["input_ids"].count(begin) == 1
        assert row["input_ids"][:3] == tokenizer("a b")["input_ids"]


def test_long_rows_are_cut_and_those_without_an_answer_left_out(caplog):
    tokenizer = make_tokenizer()
    rows = encode([completion("a b c", "d e"), completion("a b c d e", "a"), completion("a", "b")], tokenizer, 4)
    assert rows["length"][:] == [4, 3]
    assert rows[0]["labels"] == [IGNORED] * 3 + rows[0]["input_ids"][3:]
    assert "2 rows were cut at 4 tokens; 1 of them had nothing left to learn" in caplog.text
    with pytest.raises(DataError, match="no row has a token to learn among its first 3"):
        encode([completion("a b c", "d")], tokenizer, 3)


def test_many_rows_are_like_single_ones():
    tokenizer = make_tokenizer()
    rows = [completion("a b"[: 1 + 2 * (i % 2)], " ".join("abcde"[: 1 + i % 5])) for i in range(2503)]
    assert isinstance(together := encode(iter(rows), tokenizer, 20), Dataset) and len(together) == len(rows)
    for i in (0, 999, 1000, 2502):
        assert together[i] == encode([rows[i]], tokenizer, 20)[0]

"""Passages with relevant characters: reading both forms, roles of tokens, the window of a long passage, bad input."""

import json

import pytest

from ginets.data.passages import generate
from ginets.data.relevant import ROLES, Passage, mark, read_passages
from ginets.data.tabular import DataError
from tests.words import tokenizer


def official(*paragraphs: tuple) -> str:
    """(context, {question: [(answer, start), …]}) → official JSON."""
    number = iter(range(99))
    return json.dumps({"data": [{"title": "", "paragraphs": [
        {"context": context, "qas": [
            {"id": f"q{next(number)}", "question": question,
             "answers": [{"text": text, "answer_start": start} for text, start in answers]}
            for question, answers in questions.items()
        ]} for context, questions in paragraphs
    ]}]})  # fmt: skip


def roles(passage: Passage, **options) -> str:
    """One letter per token: r(elevant), i(rrelevant), q(uestion), s(pecial)."""
    marked = mark([passage], tokenizer(), **{"max_seq_length": 32, "doc_stride": 2} | options)[passage.id]
    assert len(marked.roles) == len(marked.window["input_ids"])
    return "".join(ROLES[role][0] for role in marked.roles)


def test_gold_answers_are_relevant_and_unanswerable_questions_are_left_out(tmp_path):
    file = tmp_path / "dev.json"
    file.write_text(official(("a b c. d", {"a ?": [("b c", 2), ("d", 7)], "b ?": []}), ("e f", {"e ?": [("f", 2)]})))
    passages, left_out = read_passages(file)
    assert passages == [
        Passage("q0", "a ?", "a b c. d", ((2, 5), (7, 8))),
        Passage("q2", "e ?", "e f", ((2, 3),)),
    ]
    assert left_out == {"no answer": 1}


def test_rows_with_spans(tmp_path):
    rows = [{"id": 1, "question": "a", "context": "b c d", "relevant": [[2, 3], [4, 5]]},
            {"id": 2, "question": "a", "context": "b", "relevant": []}]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.csv").write_text('id,question,context,relevant\n1,a,b c d,"[[2, 3], [4, 5]]"\n2,a,b,[]\n')
    for name in ("a.jsonl", "a.csv"):
        passages, left_out = read_passages(tmp_path / name)
        assert passages == [Passage("1", "a", "b c d", ((2, 3), (4, 5)))] and left_out == {"nothing is relevant": 1}


def test_a_limit_draws_by_seed(tmp_path):
    rows = [{"id": str(n), "question": "a", "context": "b c", "relevant": [[0, 1]]} for n in range(50)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    drawn = [[int(each.id) for each in read_passages(tmp_path / "a.jsonl", 10, seed)[0]] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0] == sorted(set(drawn[0])) and len(drawn[0]) == 10
    assert len(read_passages(tmp_path / "a.jsonl", 99)[0]) == 50


def test_roles_by_hand():
    assert roles(Passage("x", "a ?", "b c. d e", ((2, 4), (7, 8)))) == "sqqsirrirs"
    # a span that ends within a token, and one that covers a blank alone
    assert roles(Passage("x", "a", "b c d", ((1, 3),))) == "sqsiris"
    assert roles(Passage("x", "a", "b c d", ((0, 1), (1, 2)))) == "sqsriis"


def test_of_a_long_passage_the_window_with_most_relevant_tokens_is_taken():
    context = "a b c d e f g h"  # windows of 5: a–e, d–h with a stride of 2 tokens
    options = {"max_seq_length": 9, "doc_stride": 2}
    assert roles(Passage("x", "a", context, ((6, 7),)), **options) in ("sqsiiiris", "sqsriiiis")
    assert roles(Passage("x", "a", context, ((0, 1), (2, 3), (14, 15))), **options) == "sqsrriiis"
    assert roles(Passage("x", "a", context, ((0, 1), (12, 13), (14, 15))), **options) == "sqsiiirrs"
    # windows of 6: "e" is the fifth token of a–f and the first of the shorter e–h, nearer to the middle of that
    assert roles(Passage("x", "a", context, ((8, 9),)), max_seq_length=10, doc_stride=2) == "sqsriiis"


def test_passages_without_irrelevant_tokens_are_left_out():
    passages = [Passage("x", "a", "b c", ((0, 3),)), Passage("y", "a", "b c", ((0, 1),))]
    assert list(mark(passages, tokenizer(), 32, 2)) == ["y"]


def test_real_answers_are_covered_by_their_tokens(data_dir):
    """What the relevant tokens of BERT's window stand for is the answer, but for parts of words."""
    from transformers import AutoTokenizer

    bert = AutoTokenizer.from_pretrained(data_dir / "tokenizers" / "bert-cased")
    passages, _ = read_passages(data_dir / "squad" / "v1.1" / "dev.json", limit=150)
    for name, marked in mark(passages, bert, 128, 32).items():
        passage = next(each for each in passages if each.id == name)
        window, first = marked.window, marked.window["context_start"]
        found = [at - first for at, role in enumerate(marked.roles) if ROLES[role] == "relevant"]
        characters = {at for token in found for at in range(window["char_starts"][token], window["char_ends"][token])}
        wanted = {at for span in passage.spans for at in range(*span) if not passage.context[at].isspace()}
        start, end = window["char_starts"][0], window["char_ends"][-1]
        assert {at for at in wanted if start <= at < end} <= characters and characters & wanted


@pytest.mark.parametrize("row,message", [
    ({"relevant": [[2, 2]]}, r"contains \[2, 2\]; a span is \[start, end\] with 0 <= start < end <= 5"),
    ({"relevant": [[0, 6]]}, r"row 1 \(question '1'\): relevant contains \[0, 6\]"),
    ({"relevant": [0, 1]}, "contains 0; a span is"),
    ({"relevant": [[True, 2]]}, r"contains \[True, 2\]"),
    ({"relevant": 3}, r"relevant is '3'; it must be a list of \[start, end\]"),
    ({"relevant": "b"}, r"relevant is 'b'; write it as"),
    ({"relevant": []}, "no question has relevant characters"),
    ({"answers": []}, "no question has an answer"),
    ({}, "there is no column 'answers'"),
])  # fmt: skip
def test_bad_input(tmp_path, row, message):
    (tmp_path / "a.json").write_text(json.dumps([{"id": "1", "question": "a", "context": "b c d", **row}]))
    with pytest.raises(DataError, match=message):
        read_passages(tmp_path / "a.json")


def test_bad_limit(tmp_path):
    with pytest.raises(DataError, match="limit is 0; it must be at least 1"):
        read_passages(tmp_path / "a.json", limit=0)


def test_generated_passages_can_be_read(tmp_path):
    """Their spans stand for whole words of the passage, and questions that it does not answer are left out."""
    rows = generate({"validation": 30}, unanswerable=0.3)["validation"]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    passages, left_out = read_passages(tmp_path / "a.jsonl")
    assert len(passages) + left_out["nothing is relevant"] == 30 and left_out["nothing is relevant"] > 0
    kept = mark(passages, tokenizer(), 96, 8)
    assert set(kept) == {each.id for each in passages}
    for each in passages:
        window = kept[each.id].window
        pieces = [
            each.context[start:end] for start, end in zip(window["char_starts"], window["char_ends"], strict=True)
        ]
        context = kept[each.id].roles[window["context_start"] :]
        found = [piece for piece, role in zip(pieces, context, strict=False) if ROLES[role] == "relevant"]
        assert found == [word for start, end in sorted(each.spans) for word in each.context[start:end].split()]

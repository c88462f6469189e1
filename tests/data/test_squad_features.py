"""Windows against what the tokenizer makes of each pair by itself, on real text, and labels against their definition."""

from unittest import mock

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForQuestionAnswering, PreTrainedTokenizerFast

from ginets.data import squad_features
from ginets.data.squad import load_files
from ginets.data.squad_features import SpanCollator, Windows, build_features
from ginets.data.tabular import DataError
from tests.real_tokenizers import TOKENIZERS


COUNT = 250  # questions of each real file that are compared


def words(template: str = "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", **special) -> PreTrainedTokenizerFast:
    """A tokenizer whose tokens are words of letters or single signs, and a template to choose."""
    vocab = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", ".", "?"])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="$A", pair=template, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", **special)


def rows(*examples: tuple) -> Dataset:
    """(question, context, *answers), an answer as text that occurs in the context."""
    return Dataset.from_list([
        {"id": str(i), "question": question, "context": context,
         "answers": {"text": list(answers), "answer_start": [context.index(answer) for answer in answers]}}
        for i, (question, context, *answers) in enumerate(examples)
    ])  # fmt: skip


def stock_pairs(tokenizer, examples: Dataset, max_length: int, stride: int):
    return tokenizer(
        [question.lstrip() for question in examples["question"]],
        list(examples["context"]),
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )


@pytest.mark.parametrize("max_length,stride", [(384, 128), (160, 40)])
@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("file", ["v1.1/train", "v2.0/train"])
def test_windows_are_those_of_the_tokenizer(data_dir, name, file, max_length, stride):
    """Ids, types and windows are equal; offsets are, but for white space; labels name the answer's tokens."""
    tokenizer = TOKENIZERS[name](data_dir)
    examples = load_files({"x": str(data_dir / "squad" / f"{file}.json")}, ["x"])["x"].select(range(COUNT))
    theirs = stock_pairs(tokenizer, examples, max_length, stride)
    options = {"max_seq_length": max_length, "doc_stride": stride, "labels": True, "characters": True}
    ours = build_features(examples, tokenizer, **options)
    assert ours[:]["input_ids"] == theirs["input_ids"]
    assert list(ours["example"]) == list(theirs["overflow_to_sample_mapping"])
    assert list(ours["length"]) == list(map(len, theirs["input_ids"]))
    assert ("token_type_ids" in ours.column_names) == ("token_type_ids" in theirs)
    if "token_type_ids" in theirs:
        assert ours[:]["token_type_ids"] == theirs["token_type_ids"]
    contexts, answers = list(examples["context"]), list(examples["answers"])
    answered = 0
    for window, row in enumerate(ours):
        context, golds = contexts[row["example"]], answers[row["example"]]
        at = [i for i, text in enumerate(theirs.sequence_ids(window)) if text == 1]
        spans = [theirs["offset_mapping"][window][i] for i in at]
        chars = list(zip(row["char_starts"], row["char_ends"], strict=True))
        assert at == list(range(row["context_start"], row["context_start"] + len(chars)))
        for (low, high), (start, end) in zip(spans, chars, strict=True):
            assert context[start:end] == context[low:high].strip() and (start == end or low <= start <= end <= high)
        start, end = row["start_positions"] - row["context_start"], row["end_positions"] - row["context_start"]
        assert null_or_first_answer(chars, golds, start, end, row)
        answered += start >= 0
    assert answered > COUNT / 4


def null_or_first_answer(chars, golds, start: int, end: int, row: dict) -> bool:
    """Walk over the tokens: the first gold whose characters all lie in the window, or the null position."""
    for text, first in zip(golds["text"], golds["answer_start"], strict=True):
        inside = [i for i, (low, high) in enumerate(chars) if low < first + len(text) and high > first]
        if inside and chars[inside[0]][0] <= first and chars[inside[-1]][1] >= first + len(text):
            low, high = chars[start][0], chars[end][1]
            # nothing more than the answer's tokens, and all of its characters
            return inside[0] <= start <= end <= inside[-1] and low <= first and high >= first + len(text)
    return row["start_positions"] == row["end_positions"] == row["null_position"]


@pytest.mark.parametrize("name,null", [
    ("bert", 0), ("roberta", 0), ("deberta", 0), ("llama", 0), ("llama, bos", 0), ("llama, eos", -1),
])  # fmt: skip
def test_null_position(data_dir, name, null):
    """CLS; else an end token, which in a causal model has seen everything; else the first token."""
    examples = rows(("Why?", "No reason. None at all."))
    window = build_features(examples, TOKENIZERS[name](data_dir), labels=True, characters=True)[0]
    expected = null % window["length"]
    assert window["null_position"] == window["start_positions"] == window["end_positions"] == expected
    inside = range(window["context_start"], window["context_start"] + len(window["char_starts"]))
    assert expected not in inside


def test_a_cls_token_at_the_end_is_the_null_position():
    tokenizer = words("$A:0 [SEP]:0 $B:1 [SEP]:1 [CLS]:2", cls_token="[CLS]")
    examples = rows(("a ?", "b c d e f g h"), ("a ?", "b"))
    windows = build_features(examples, tokenizer, max_seq_length=9, doc_stride=1, characters=True)
    assert [row["null_position"] == row["length"] - 1 for row in windows] == [True] * len(windows)
    assert all(row["input_ids"][-1] == 2 for row in windows)


def test_labels_by_hand():
    """Windows of "? a" + three tokens that share one; an answer that no window holds as a whole is none."""
    context = "a b  c d\u2003e"
    examples = rows(
        ("a ?", context, "c"),
        ("a ?", context, "b  c d"),
        ("a ?", context, "a b  c d"),
        ("a ?", context),
        ("a ?", context, "d\u2003e", "a"),
        ("a ?", context, " c "),
    )
    windows = build_features(examples, words(cls_token="[CLS]"), max_seq_length=8, doc_stride=1, labels=True)
    labels = list(zip(windows["start_positions"], windows["end_positions"], strict=True))
    # windows are [CLS] a ? [SEP] a b c [SEP] and [CLS] a ? [SEP] c d e [SEP]
    assert labels == [(6, 6), (4, 4), *[(0, 0)] * 6, (4, 4), (5, 6), (6, 6), (4, 4)]


def test_offsets_are_without_white_space_and_of_code_points(data_dir):
    """Byte-level pieces of one character all have its place, also beyond the basic plane."""
    context = "In  Zürich\n\t the 𝒳𝒴-axis.\u00a0Ω  "
    for name in ("roberta", "deberta", "llama"):
        row = build_features(
            rows(("What?", context, "𝒴-axis")), TOKENIZERS[name](data_dir), labels=True, characters=True
        )[0]
        chars = list(zip(row["char_starts"], row["char_ends"], strict=True))
        assert all(context[a:b].strip() == context[a:b] for a, b in chars)
        start, end = row["start_positions"] - row["context_start"], row["end_positions"] - row["context_start"]
        assert context[chars[start][0] : chars[end][1]] in ("𝒴-axis", "𝒳𝒴-axis")
        covered = {i for a, b in chars for i in range(a, b)}
        assert covered == {i for i, sign in enumerate(context) if not sign.isspace()}


def test_empty_contexts_and_long_questions(caplog):
    tokenizer = words(cls_token="[CLS]")
    long = "a b c d e f g h"
    examples = rows((long, ""), (long, "   "), (long, "a b", "b"), (long, "a b c d e f g", "g"), ("a", ""))
    windows = build_features(examples, tokenizer, max_seq_length=13, doc_stride=3, labels=True, characters=True)
    # 10 tokens beside the special ones; 8 of question and 2 of context fit. 8 and 7 do not, and leave no more than
    # doc_stride + 1: the question keeps half of 10 - 3
    assert list(windows["example"]) == [0, 1, 2, 3, 4]
    assert list(windows["context_start"]) == [10, 10, 10, 5, 3]
    assert [len(chars) for chars in windows["char_starts"]] == [0, 0, 2, 7, 0]
    assert list(windows["start_positions"]) == [0, 0, 11, 11, 0]
    assert "1 questions are too long" in caplog.text


def test_a_question_that_leaves_more_than_the_stride_is_kept():
    tokenizer = words(cls_token="[CLS]")
    examples = rows(("a b c d e", "a b c d e f g"))  # 5 + 5 tokens fit, doc_stride + 2 of context
    windows = build_features(examples, tokenizer, max_seq_length=13, doc_stride=3)
    assert windows[:]["input_ids"] == stock_pairs(tokenizer, examples, 13, 3)["input_ids"]
    assert len(windows) == 2


@pytest.mark.parametrize("size,stride", [(13, -1), (13, 9), (4, 1)])
def test_a_stride_that_leaves_no_room_is_refused(size, stride):
    with pytest.raises(DataError, match=f"doc_stride is {stride} and max_seq_length {size}"):
        Windows(words(cls_token="[CLS]"), max_seq_length=size, doc_stride=stride)


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(DataError, match="gives no character offsets"):
        Windows(mock.Mock(is_fast=False))


class Counting:
    """A tokenizer that counts the texts it is given."""

    def __init__(self, tokenizer):
        self.tokenizer, self.texts = tokenizer, []

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, texts, *rest, **options):
        self.texts += [texts] if isinstance(texts, str) else texts
        return self.tokenizer(texts, *rest, **options)


def test_each_context_is_tokenised_once_and_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(squad_features, "BATCH", 4)
    contexts = ["a b c", "d e f", "g h a"]
    examples = rows(*(("b ?", contexts[i % 3]) for i in range(24)))
    counting = Counting(words(cls_token="[CLS]"))
    everything = [table.to_pydict() for table in Windows(counting).batches(examples)]
    assert [counting.texts.count(context) for context in contexts] == [1, 1, 1]
    small = Windows(Counting(words(cls_token="[CLS]")), cached_tokens=7)
    assert [table.to_pydict() for table in small.batches(examples)] == everything
    assert len(small._contexts) == 2 and small.tokenizer.texts.count("a b c") > 1


def test_rows_are_read_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(squad_features, "BATCH", 4)
    examples, asked = rows(*(("b ?", "a b c") for _ in range(24))), []
    watched = mock.MagicMock(__len__=lambda _: 24, __getitem__=lambda _, part: asked.append(part) or examples[part])
    batches = Windows(words(cls_token="[CLS]")).batches(watched)
    next(batches), next(batches)
    assert asked == [slice(0, 4), slice(4, 8)]


def test_the_tokenizer_is_left_as_it_was():
    tokenizer = words(cls_token="[CLS]")
    before = stock_pairs(tokenizer, rows(("a", "b c d e f g h")), 6, 1)["input_ids"]
    build_features(rows(("a", "b c d e f g h")), tokenizer, max_seq_length=6, doc_stride=1)
    assert stock_pairs(tokenizer, rows(("a", "b c d e f g h")), 6, 1)["input_ids"] == before


def test_features_go_to_the_folder_and_none_is_an_error(tmp_path):
    built = build_features(rows(("a", "b")), words(cls_token="[CLS]"), folder=tmp_path)
    assert [file["filename"] for file in built.cache_files] == [str(path) for path in tmp_path.glob("*.arrow")]
    with pytest.raises(DataError, match="no questions"):
        build_features(rows(("a", "b")).select([]), words(cls_token="[CLS]"))


def test_padding_on_the_right_keeps_positions_and_outputs():
    """A left-padding tokenizer and a causal model: labels and logits are those of the window alone."""
    tokenizer = words("[CLS]:0 $A:0 [CLS]:1 $B:1", bos_token="[CLS]", padding_side="left")
    examples = rows(("a b ?", "c d e f g", "e f"), ("a", "c", "c"))
    windows = build_features(examples, tokenizer, labels=True)
    batch = SpanCollator(tokenizer, pad_to_multiple_of=4)([windows[0], windows[1]])
    assert batch["input_ids"].shape == (2, 12) and batch["attention_mask"].sum(1).tolist() == list(windows["length"])
    assert batch["start_positions"].tolist() == [7, 3] and batch["end_positions"].tolist() == [8, 3]
    for row, window in enumerate(windows):
        assert batch["input_ids"][row, : window["length"]].tolist() == window["input_ids"]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForQuestionAnswering(LlamaConfig(vocab_size=20, pad_token_id=0, **sizes)).eval()
    with torch.no_grad():
        together = model(**batch)
        for row, window in enumerate(windows):
            alone = model(input_ids=torch.tensor([window["input_ids"]]))
            torch.testing.assert_close(together.start_logits[row, : window["length"]], alone.start_logits[0])

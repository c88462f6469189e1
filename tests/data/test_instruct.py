"""Instructions and dialogues: prompts word by word, what is trained, what is refused, how files are mixed."""

import json
from collections import Counter

import pytest
from transformers import PreTrainedTokenizerFast

from ginets.data.instruct import check_instruction, dialogue, mix, read_rows, segments
from ginets.data.segments import IGNORED, Segment, encode, prompt_of
from ginets.data.tabular import DataError
from ginets.data.templates import ALPACA
from tests.tiny_language import make_tokenizer


ROW = {"instruction": "Add.", "input": "1 2", "output": "3"}
CHAT = [
    {"role": "system", "content": "a"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "c"},
    {"role": "user", "content": "d"},
    {"role": "assistant", "content": "e f"},
]
# with an end token of a turn, with a mark that is none, and with neither mark nor generation prompt
ENDED = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
MARKED = ENDED.replace("eos_token if m.role == 'assistant'", "' /turn'")
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


def chat_tokenizer(template: str) -> PreTrainedTokenizerFast:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def test_prompt_is_that_of_alpaca():
    without = (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nSay hi.\n\n### Response:\n"
    )
    assert ALPACA.prompt("Say hi.") == without
    with_input = ALPACA.prompt("Add.", "1 2")
    assert "paired with an input that provides further context" in with_input
    assert with_input.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n")


def test_row_is_trained_on_its_output_after_the_very_prompt():
    row = segments(ROW)
    assert row == (Segment(ALPACA.prompt("Add.", "1 2")), Segment("3", trained=True, end=True))
    for input in ("", None):
        assert segments({**ROW, "input": input}) == segments({"instruction": "Add.", "output": "3", "id": 7})
    assert prompt_of(row) == (Segment(ALPACA.prompt("Add.", "1 2")),)


def test_answer_is_what_follows_the_prompt_up_to_a_further_heading():
    prompt = ALPACA.prompt("Add.", "1 2")
    more = "\n\n### Instruction:\nGo on.\n\n### Response:\n4"
    for text in ("3", "3\n" + more, "\n3\n\n### Instruction:"):
        assert ALPACA.answer(prompt + text) == ALPACA.answer(text) == "3"


@pytest.mark.parametrize("template", [ENDED, MARKED, BARE])
def test_dialogue_is_the_text_of_the_chat_template(template):
    tokenizer = chat_tokenizer(template)
    pieces = dialogue(CHAT, tokenizer)
    assert "".join(piece.text for piece in pieces) == tokenizer.apply_chat_template(CHAT, tokenize=False)
    before = tokenizer.apply_chat_template(CHAT[:-1], tokenize=False, add_generation_prompt=True)
    assert "".join(piece.text for piece in prompt_of(pieces)) == before  # what is there at generation


def test_turns_of_the_assistant_are_trained_with_their_end():
    trained = {
        template: [(p.text, p.end) for p in dialogue(CHAT, chat_tokenizer(template)) if p.trained]
        for template in (ENDED, MARKED, BARE)
    }
    assert trained[ENDED] == [("c<end>", False), ("e f<end>", False)]
    assert trained[MARKED] == [("c /turn\n", False), ("e f /turn\n", True)]
    assert trained[BARE] == [("assistant: c\n", False), ("assistant: e f\n", True)]


def test_labels_of_a_dialogue():
    tokenizer = chat_tokenizer(ENDED)
    (row,) = encode([dialogue(CHAT, tokenizer)], tokenizer, 100)
    labelled = [label for label in row["labels"] if label != IGNORED]
    assert tokenizer.convert_ids_to_tokens(labelled) == ["c", "<end>", "e", "f", "<end>"]
    assert row["input_ids"] == tokenizer(tokenizer.apply_chat_template(CHAT, tokenize=False))["input_ids"]


@pytest.mark.parametrize("row,message", [
    ({"instruction": "a", "context": "b", "response": "c"}, "there is no 'output'; a row has instruction, input and output"),
    ({"output": "c"}, "there is no 'instruction'"),
    ({"instruction": "a", "output": None}, "there is no 'output'"),
    ({**ROW, "output": " \n"}, "output is empty"),
    ({**ROW, "instruction": ""}, "instruction is empty"),
    ({**ROW, "input": ["1"]}, "input is ['1']; it must be text"),
    ({**ROW, "output": "\ud800"}, "output is not valid Unicode"),
    ([1], "a row is a JSON object"),
    ({"messages": []}, "it must be a list of role and content"),
    ({"messages": "hi"}, "messages is 'hi'"),
    ({"messages": [{"role": "user"}]}, "number 1 is \"{'role': 'user'}\"; it must have role and content"),
    ({"messages": [{"from": "human", "value": "x"}]}, "it must have role and content"),
    ({"messages": [{"role": "human", "content": "x"}]}, "role is 'human'; choose from system, user, assistant"),
    ({"messages": [{"role": "user", "content": 3}]}, "number 1: content is 3; it must be text"),
    ({"messages": CHAT[1:2]}, "the last must be a text of the assistant"),
    ({"messages": [*CHAT[1:], CHAT[0]]}, "number 5 is of the system; only the first can be"),
])  # fmt: skip
def test_bad_rows(row, message):
    with pytest.raises(DataError) as caught:
        segments(row, chat_tokenizer(ENDED))
    assert message in str(caught.value)


def test_output_is_not_needed_to_answer():
    assert check_instruction({"instruction": "a"}, output=False) == ("a", "", "")


def test_templates_that_refuse_or_rewrite():
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + ENDED
    with pytest.raises(DataError, match=r"the chat template refuses them \(no system here\)"):
        dialogue(CHAT, chat_tokenizer(refusing))
    assert dialogue(CHAT[1:], chat_tokenizer(refusing))
    last_only = "{{ messages[-1].content }}"
    with pytest.raises(DataError, match="does not write the turns one after the other"):
        dialogue(CHAT, chat_tokenizer(last_only))


def test_no_chat_template_is_no_fault_of_the_rows(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": CHAT}))
    for tokenizer in (None, make_tokenizer()):
        with pytest.raises(DataError, match=r"a\.jsonl: .* the tokenizer has no chat template") as caught:
            read_rows(path, tokenizer, bad_rows="skip")
        assert "skipped" not in str(caught.value).lower()


def test_files_hold_both_forms(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, (ROW, {"messages": CHAT}))))
    tokenizer = chat_tokenizer(ENDED)
    assert read_rows(path, tokenizer) == [segments(ROW), dialogue(CHAT, tokenizer)]


def test_real_alpaca_has_two_rows_without_output(data_dir, caplog):
    path = data_dir / "instruct" / "alpaca_5000.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    with pytest.raises(DataError, match=r"2 of 5000 rows cannot be used: row \d+ \(line \d+\): output is empty"):
        read_rows(path)
    found = read_rows(path, bad_rows="skip")
    assert len(found) == 4998 and caplog.text.count("output is empty. Skipped") == 2
    kept = [row for row in rows if row["output"]]
    assert all(row[1].text == each["output"] for row, each in zip(found, kept, strict=True))
    assert sum("### Input:" in row[0].text for row in found) == sum(bool(each["input"]) for each in kept)


def test_mixing_gives_every_part_its_share():
    parts = [list("abcde"), list(range(30)), [None] * 5]
    mixed = mix(parts, [2, 1, 1], seed=3)
    counts = Counter("first" if row in parts[0] else "none" if row is None else "second" for row in mixed)
    assert counts == {"first": 20, "second": 10, "none": 10}
    assert all(mixed.count(row) == 4 for row in "abcde")  # gone through as a whole, four times
    assert len({row for row in mixed if isinstance(row, int)}) == 10  # drawn without replacement
    assert mix(parts, [2, 1, 1], seed=3) == mixed != mix(parts, [2, 1, 1], seed=4)
    assert mix(parts, [0.2, 0.1, 0.1], seed=3) == mixed


def test_shares_are_rounded_by_largest_remainder():
    mixed = mix([["a"] * 3, ["b"] * 3, ["c"] * 4], [1, 1, 1])
    assert Counter(mixed) == {"a": 4, "b": 3, "c": 3}  # 10 · ⅓ each; the first of equal remainders
    assert Counter(mix([["a"] * 5, ["b"] * 5], [5, 2])) == {"a": 7, "b": 3}  # 7.14, 2.86


@pytest.mark.parametrize("weights,message", [
    ([1], "weights are 1 numbers for 2 files"),
    ([1, 0], "a weight is 0"),
    ([1, float("nan")], "a weight is nan"),
    ([1, float("inf")], "a weight is inf"),
])  # fmt: skip
def test_weights_that_are_none(weights, message):
    with pytest.raises(ValueError, match=message):
        mix([["a"], ["b"]], weights)

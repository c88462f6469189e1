"""`ginets train instruct` and `ginets train math`: from files to rows, whole runs, one line for bad input."""

import json
import math

import pytest
import torch
from datasets import Dataset

from ginets.data import arithmetic_generated
from ginets.data.arithmetic import read_problems
from ginets.data.instruct import mix, segments
from ginets.data.templates import ALPACA
from ginets.recipes import instruct_task, math_task
from ginets.recipes.arguments import ArgumentsError, RecipeTrainingArguments
from ginets.recipes.causal_data import hold_out, load_rows
from ginets.recipes.train import COMMANDS
from tests.tiny_language import MODELS, make_tokenizer


CHAT = "{% for m in messages %}{{ m.content }}{{ eos_token if m.role == 'assistant' }} {% endfor %}"
ALPACA_ROWS = [{"instruction": f"a b {a}", "input": a if a < "d" else "", "output": f"{a} b"} for a in "abcdefgh"]
DIALOGUES = [
    {"messages": [{"role": "user", "content": f"a {a}"}, {"role": "assistant", "content": f"b {a}"}]} for a in "ijkl"
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    torch.manual_seed(0)
    model_class, config = MODELS["gpt2"]
    model_class(config).save_pretrained(folder / "gpt2")
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder / "gpt2")
    (folder / "a.json").write_text(json.dumps(ALPACA_ROWS, indent=1))
    (folder / "b.jsonl").write_text("\n".join(map(json.dumps, DIALOGUES)))
    (folder / "bad.jsonl").write_text("\n".join(map(json.dumps, [ALPACA_ROWS[0], {"instruction": "a"}])))
    Dataset.from_list(ALPACA_ROWS).to_parquet(folder / "c.parquet")
    arithmetic_generated.write(folder / "math", {"train": 30, "validation": 6})
    return folder


def words(place, output, *more):
    return [
        "--model_name_or_path", str(place / "gpt2"), "--output_dir", str(output), "--do_train", "--do_eval",
        "--max_steps", "2", "--learning_rate", "1e-2", "--use_cpu", "--disable_tqdm", "True", "--max_seq_length", "64",
        *map(str, more),
    ]  # fmt: skip


def chat_tokenizer():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = CHAT
    return tokenizer


def loaded(place, *names: str, **more):
    args = instruct_task.InstructDataArguments(train_file=[str(place / name) for name in names], **more)
    return instruct_task.load(args, ["train"], chat_tokenizer())["train"]


def test_files_are_put_together_or_mixed_by_weight(place):
    one = [segments(row) for row in ALPACA_ROWS]
    two = [segments(row, chat_tokenizer()) for row in DIALOGUES]
    assert loaded(place, "a.json", "b.jsonl") == one + two
    assert loaded(place, "c.parquet") == one
    mixed = loaded(place, "a.json", "b.jsonl", weights=[1, 2], mixing_seed=5)
    assert mixed == mix([one, two], [1, 2], 5) and sum(row in two for row in mixed) == 8
    assert loaded(place, "bad.jsonl", bad_rows="skip") == one[:1]


def test_rows_of_a_dataset_in_the_form_of_the_hub(place):
    Dataset.from_list(ALPACA_ROWS).to_json(place / "hub" / "train.jsonl")
    args = instruct_task.InstructDataArguments(dataset_name=str(place / "hub"))
    rows = instruct_task.load(args, ["train"], chat_tokenizer(), cache_dir=str(place / "cache"))
    assert rows == {"train": [segments(row) for row in ALPACA_ROWS]}


def test_repeated_rows_are_held_out_together(place):
    rows = loaded(place, "a.json", "b.jsonl", weights=[1, 5])
    assert len(set(rows)) < len(rows)
    parts = hold_out(rows, 3, seed=1)
    assert not set(parts["train"]) & set(parts["validation"])
    assert len(parts["validation"]) == len(set(parts["validation"])) == 3
    assert len(parts["train"]) == sum(row not in parts["validation"] for row in rows)
    with pytest.raises(ArgumentsError, match=f"--validation_rows is 12; there are {len(set(rows))} different rows"):
        hold_out(rows, 12, seed=1)


def test_rows_are_held_out_of_a_run_that_only_trains(place):
    """A later run evaluates on them."""
    data_args = instruct_task.InstructDataArguments(train_file=[str(place / "a.json")], validation_rows=3)
    tokenizer, parts = make_tokenizer(), {}
    for split, doing in (("train", {"do_train": True}), ("validation", {"do_eval": True})):
        arguments = RecipeTrainingArguments(str(place / "out"), use_cpu=True, **doing)
        parts |= (found := load_rows(instruct_task.TASK, data_args, arguments, tokenizer))
        assert list(found) == [split]
    assert len(parts["train"]) == 5 and len(parts["validation"]) == 3
    assert not set(parts["train"]) & set(parts["validation"])


def test_instruction_tuning_runs(place, tmp_path):
    more = ["--train_file", place / "a.json", place / "b.jsonl", "--weights", "2", "1", "--validation_rows", "2"]
    COMMANDS["instruct"].main(words(place, tmp_path, *more, "--adapter", "lora"))
    figures = json.loads((tmp_path / "all_results.json").read_text())
    assert figures["eval_samples"] == 2 and figures["eval_perplexity"] > 1
    assert math.log(figures["eval_perplexity"]) == pytest.approx(figures["eval_loss"], rel=1e-9)  # per token, both
    assert json.loads((tmp_path / "adapter_config.json").read_text())["target_modules"] == ["c_attn"]
    assert "on a.json, b.jsonl." in (tmp_path / "README.md").read_text()


def test_solutions_are_trained_after_the_template(place):
    args = math_task.MathDataArguments(train_file=[str(place / "math" / "train.jsonl")])
    rows = math_task.load(args, ["train"], None)["train"]
    problems = read_problems(place / "math" / "train.jsonl")
    assert [(row[0].text, row[1].text) for row in rows] == [
        (ALPACA.prompt(each.question), each.rationale) for each in problems
    ]


def test_solutions_of_the_real_set_have_no_calculator_marks(data_dir):
    files = {"train_file": [str(data_dir / "math" / "gsm8k" / "train.jsonl")]}
    without, kept = (
        math_task.load(math_task.MathDataArguments(**files, calculations=keep), ["train"], None)["train"]
        for keep in (False, True)
    )
    assert len(without) == 7473 and not any("<<" in row[1].text for row in without)
    assert sum("<<" in row[1].text for row in kept) > 7000


def test_training_on_word_problems_runs(place, tmp_path):
    files = ["--train_file", place / "math" / "train.jsonl", "--validation_file", place / "math" / "validation.jsonl"]
    COMMANDS["math"].main(words(place, tmp_path, *files, "--max_seq_length", "100"))
    figures = json.loads((tmp_path / "all_results.json").read_text())
    assert (
        figures["eval_samples"] == 6 and figures["eval_perplexity"] > 1 and (tmp_path / "model.safetensors").exists()
    )


BAD = {
    "no data": ("instruct", [], "there is no data; give --train_file"),
    "no split": ("instruct", ["--train_file", "a.json"], "there is no --validation_file"),
    "weights": ("instruct", ["--train_file", "a.json", "--weights", "1", "2"], "--weights are 2, --train_file names 1"),
    "weight": ("instruct", ["--train_file", "a.json", "--weights", "-1"], "--weights has -1.0; allowed: positive"),
    "bad row": ("instruct", ["--train_file", "bad.jsonl", "--validation_rows", "1"], "line 2: there is no 'output'"),
    "policy": ("instruct", ["--train_file", "a.json", "--bad_rows", "ignore"], "--bad_rows"),
    "no chat": ("instruct", ["--train_file", "b.jsonl", "--validation_rows", "1", "--tokenizer_name", "plain"],
                "b.jsonl: the data are messages, and the tokenizer has no chat template"),
    "wrong form": ("math", ["--train_file", "a.json", "--validation_rows", "1"], "the columns are instruction, input"),
    "math split": ("math", ["--train_file", "math/train.jsonl"], "--validation_rows holds training rows out"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name, place, tmp_path, capsys, monkeypatch):
    task, more, message = BAD[name]
    make_tokenizer().save_pretrained(place / "plain")
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as caught:
        COMMANDS[task].main(words(place, tmp_path, *more))
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"ginets train {task}: ")]
    assert caught.value.code == 2 and len(errors) == 1 and message in errors[0]

"""`ginets eval math`: figures by hand, the published rule, leaks, and one line for bad input."""

import json

import pytest

from ginets.cli import main
from ginets.data.templates import ALPACA
from ginets.metrics.accuracy import wilson


PROBLEMS = [
    {"question": "Tom has 3 eggs and buys 4. How many?", "answer": "3 + 4 = 7\n#### 7"},
    {
        "question": "Ann has 9 green cups in her kitchen and breaks 1 of them. How many cups has she now?",
        "answer": "9 - 1 = 8\n#### 8",
    },
    {"question": "Each of 5 cats has 2 ears. How many ears?", "answer": "5 * 2 = 10\n#### 10"},
    {"question": "How many days has a week?", "answer": "#### 7"},
]
TEXTS = ["The answer is 7. That is 4 more.", "8", ALPACA.prompt("x") + "5 * 2 = 12\n#### 12", "I do not know."]


@pytest.fixture
def file(tmp_path):
    def write(name: str, rows) -> str:
        text = json.dumps(rows) if name.endswith(".json") else "\n".join(map(json.dumps, rows))
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def data(file):
    return file("data.jsonl", PROBLEMS)


@pytest.fixture
def generations(file):
    rows = [{"id": str(number), "prompt": "", "text": text} for number, text in enumerate(TEXTS)]
    return file("generations.jsonl", rows[::-1])  # any order


def refused(capsys, *arguments: str) -> str:
    """The line on stderr."""
    with pytest.raises(SystemExit) as stopped:
        main(["eval", "math", *arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1
    return error


def printed(capsys, *arguments: str) -> dict:
    assert main(["eval", "math", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures(data, generations, capsys):
    low, high = wilson(2, 4)
    assert printed(capsys, data, generations) == {
        "accuracy": 50.0, "accuracy_low": 100 * low, "accuracy_high": 100 * high, "correct": 2, "total": 4,
        "without_answer": 1,
    }  # fmt: skip
    published = printed(capsys, data, generations, "--rule", "published", "--task", "gsm8k")
    assert published["correct"] == 1  # the last number of the first text is 4


def test_details(data, generations, tmp_path, capsys):
    printed(capsys, data, generations, "--details", str(tmp_path / "details.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "details.jsonl").read_text().splitlines()]
    assert rows == [
        {"id": "0", "gold": 7.0, "found": 7.0, "correct": True},
        {"id": "1", "gold": 8.0, "found": 8.0, "correct": True},
        {"id": "2", "gold": 10.0, "found": 12.0, "correct": False},
        {"id": "3", "gold": 7.0, "found": None, "correct": False},
    ]


def test_letters_with_ids_of_the_file(file, capsys):
    data = file("aqua.json", [{"id": "q", "instruction": "Which?", "input": "", "output": "", "answer": "B"}])
    generations = file("g.jsonl", [{"id": "q", "text": "All in all, the answer is B."}])
    assert printed(capsys, data, generations)["accuracy"] == 100
    assert printed(capsys, data, generations, "--rule", "published")["accuracy"] == 0


def test_questions_that_were_trained_on_are_warned_of_and_counted_apart(data, generations, file, capsys):
    train = file(
        "train.json",
        [
            {**PROBLEMS[0]},
            {
                "question": "Ann has 9 green cups in the kitchen and breaks 1 of them. How many cups has she got now?",
                "answer": "8",
            },
        ],
    )
    other = file("other.json", [{"question": "Nothing of the kind", "answer": "1"}])
    assert main(["eval", "math", data, generations, "--train", train, other, "--json"]) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out)
    assert "warning: of 4 test questions 1 occur among 3 training questions, 1 more nearly so" in err
    assert (figures["shared_exact"], figures["shared_fuzzy"], figures["accuracy"]) == (1, 1, 50.0)
    assert (figures["not_shared_correct"], figures["not_shared_total"]) == (0, 2)
    assert main(["eval", "math", data, generations, "--train", other, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out)["shared_exact"] == 0 and "not_shared_total" not in out
    assert main(["eval", "math", data, generations, "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and "without --train no look was taken" in err and "shared" not in out


@pytest.mark.parametrize("rows,message", [
    ([{"id": "0", "text": "7"}], "3 of 4 problems have no text, e.g. '1'"),
    ([{"id": "9", "text": "7"}], "there is no problem '9'"),
    ([{"id": "0", "text": "7"}] * 2, "line 2: id '0' occurs twice"),
    ([{"id": "0"}], "there is no 'text'"),
    ([{"id": "0", "text": 7}], "text is 7; it must be text"),
])  # fmt: skip
def test_bad_generations(data, file, rows, message, capsys):
    error = refused(capsys, data, file("bad.jsonl", rows))
    assert message in error and "bad.jsonl" in error


def test_details_that_cannot_be_written(data, generations, tmp_path, capsys):
    assert "a.jsonl" in refused(capsys, data, generations, "--details", str(tmp_path / "gone" / "a.jsonl"))


def test_gold_answers_of_another_task(data, generations, capsys):
    error = refused(capsys, data, generations, "--task", "aqua")
    assert "the answer of problem '0' is '7'; that is none of --task aqua" in error


def test_questions_with_choices_are_known_again(file, capsys):
    """AQuA's are read with their choices added; what was trained on is compared as it stands in the files."""
    rows = [{"question": f"How much is {at} and {at}?", "options": ["A)1", "B)2"], "rationale": "so", "correct": "B"} for at in range(3)]  # fmt: skip
    data = file("aqua.jsonl", rows)
    texts = file("texts.jsonl", [{"id": str(at), "text": "The answer is B."} for at in range(3)])
    assert main(["eval", "math", data, texts, "--train", data, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["shared_exact"] == 3 and "not_shared_accuracy" not in figures

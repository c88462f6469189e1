"""`ginets eval squad`: which rules are applied, what is printed, and one line with exit code 2 for bad input."""

import json

import pytest

from ginets.cli import main
from ginets.metrics.squad import evaluate_v1, evaluate_v2


V1 = {"q1": ["Graubünden", "in Graubünden"], "q2": ["the sea"]}
V2 = {**V1, "q3": []}
PREDICTIONS = {"q1": "in graubünden.", "q2": "north sea", "q3": ""}
ODDS = {"q3": 2.5, "q1": -4.0, "q2": 0.5}


def official(golds: dict) -> dict:
    answers = {name: [{"text": text, "answer_start": 0} for text in texts] for name, texts in golds.items()}
    marked = {"is_impossible": False} if "q3" in golds else {}
    questions = [{"id": name, "question": "", "answers": each, **marked} for name, each in answers.items()]
    return {"data": [{"title": "", "paragraphs": [{"context": "", "qas": questions}]}]}


@pytest.fixture
def file(tmp_path):
    def write(name: str, value) -> str:
        (tmp_path / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(tmp_path / name)

    return write


def printed(capsys, *arguments: str) -> dict:
    assert main(["eval", "squad", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_rules_follow_the_data(file, capsys):
    predictions = file("predictions.json", PREDICTIONS)
    one, two = file("v1.json", official(V1)), file("v2.json", official(V2))
    assert printed(capsys, one, predictions) == evaluate_v1(V1, PREDICTIONS)
    assert printed(capsys, two, predictions) == evaluate_v2(V2, PREDICTIONS)
    assert printed(capsys, one, predictions, "--squad-version", "2.0") == evaluate_v2(V1, PREDICTIONS)
    odds = file("null_odds.json", ODDS)
    assert printed(capsys, one, predictions, "--na-prob-file", odds) == evaluate_v2(V1, PREDICTIONS, ODDS)
    options = "--na-prob-file", odds, "--na-prob-thresh", "0.3"
    assert printed(capsys, two, predictions, *options) == evaluate_v2(V2, PREDICTIONS, ODDS, 0.3)


def test_own_files_and_plain_output(file, capsys):
    data = file("own.csv", 'id,answers\nq1,"[{""text"": ""Graubünden""}]"\nq2,"{""text"": [""the sea""]}"\n')
    assert main(["eval", "squad", data, file("predictions.json", PREDICTIONS)]) == 0
    figures = evaluate_v1({"q1": ["Graubünden"], "q2": ["the sea"]}, PREDICTIONS)
    assert capsys.readouterr().out == f"exact_match  {figures['exact_match']!r}\nf1           {figures['f1']!r}\n"


@pytest.mark.parametrize("arguments,message", [
    (("v2.json", "none.json"), "none.json: there is no such file"),
    (("v2.json", "some.json"), "1 of 3 questions have no prediction, e.g. 'q3'"),
    (("v2.json", "list.json"), "it must be an object, question id → a text"),
    (("v2.json", "good.json", "--na-prob-file", "good.json"), "question 'q1': is 'in graubünden.'; it must be a number"),
    (("v2.json", "good.json", "--na-prob-thresh", "1"), "--na-prob-thresh needs --na-prob-file"),
    (("v2.json", "good.json", "--squad-version", "1.1"), "question 'q3' has no gold answer"),
    (("v1.json", "good.json", "--squad-version", "1.1", "--na-prob-file", "x"), "belong to SQuAD 2.0"),
    (("bare.json", "good.json"), "there is no column 'answers'; it has id"),
])  # fmt: skip
def test_bad_input(file, tmp_path, capsys, arguments, message):
    file("v1.json", official(V1))
    file("v2.json", official(V2))
    file("good.json", PREDICTIONS)
    file("some.json", {name: PREDICTIONS[name] for name in V1})
    file("list.json", [PREDICTIONS])
    file("bare.json", [{"id": "q1"}])
    paths = [str(tmp_path / each) if each.endswith(".json") else each for each in arguments]
    with pytest.raises(SystemExit) as stopped:
        main(["eval", "squad", *paths])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("ginets eval squad: error: ") and error.count("\n") == 1 and message in error


def test_help_and_unknown_tasks(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["eval", "poetry"])
    assert stopped.value.code == 2 and "poetry" in capsys.readouterr().err
    assert main(["eval", "--help"]) == 0 and "exact match, F1" in capsys.readouterr().out

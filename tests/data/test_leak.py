"""Shared questions: against all pairs compared one by one, and the 58 that two real test files share."""

import json
import random

import pytest

from ginets.cli import main
from ginets.data.leak import check_leak, normalise, read_questions
from ginets.data.tabular import DataError


TRAIN = [
    "How many eggs has Tom?",
    "A train travels 360 miles in 3 hours.",
    "What is it?",
    "!!!",
    "How many eggs has Tom",
]
TEST = ["  how MANY eggs, has tom", "A train travels 250 miles in 3 hours.", "Something else entirely", "...", ""]


def naive(train: list[str], test: list[str], threshold: float, size: int) -> list[tuple[int, int, float]]:
    """Every pair: letters and digits, sets of n-grams, intersection over union; the first best one."""

    def grams(text: str) -> set[str]:
        text = "".join(c for c in text.lower() if c.isalnum())
        return {text[i : i + size] for i in range(len(text) - size + 1)} or {text}

    found = []
    for row, text in enumerate(test):
        scores = [len(grams(text) & grams(t)) / len(grams(text) | grams(t)) for t in train]
        best = max(range(len(train)), key=lambda i: (scores[i], -i))
        if scores[best] >= threshold:
            found.append((row + 1, best + 1, scores[best]))
    return found


def test_same_and_nearly_the_same():
    report = check_leak(TRAIN, TEST)
    assert [(p.test_row, p.train_row, p.kind) for p in report.pairs] == [(1, 1, "exact"), (2, 2, "fuzzy")]
    assert report.pairs[0].test == TEST[0] and 0.6 <= report.pairs[1].similarity < 1
    assert (report.exact, report.fuzzy, report.train_rows, report.test_rows) == (1, 1, 5, 5) and report
    assert str(report) == "of 5 test questions 1 occur among 5 training questions, 1 more nearly so"
    assert not check_leak(TRAIN, TEST[2:])


def test_numbers_can_be_left_out():
    report = check_leak(TRAIN, TEST, ignore_digits=True)
    assert [pair.kind for pair in report.pairs] == ["exact", "exact"]
    assert normalise("Ａ 12-year, Straße_x!", True) == "ayearstrassex"


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.85, 1.0])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_no_pair_is_missed(threshold, size):
    rng = random.Random(7)
    words = [f"w{number}" for number in range(12)]
    train = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(80)]
    test = [" ".join(rng.choices(words, k=rng.randint(3, 9))) for _ in range(40)]
    test += [text.replace("1", "2", 1) for text in train[:20]]
    found = check_leak(train, test, threshold, size)
    expected = naive(train, test, threshold, size)
    assert [(p.test_row, p.similarity) for p in found.pairs] == [(row, score) for row, _, score in expected]
    fuzzy = [(p.test_row, p.train_row) for p in found.pairs if p.kind == "fuzzy"]
    assert fuzzy == [(row, at) for row, at, _ in expected if row in dict(fuzzy)]


@pytest.mark.parametrize("options,message", [
    ({"threshold": 0}, "threshold is 0"), ({"threshold": 1.1}, "threshold is 1.1"), ({"ngram": 0}, "ngram is 0"),
])  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        check_leak(TRAIN, TEST, **options)


def test_questions_of_every_form(tmp_path):
    chat = [{"role": "user", "content": "m"}, {"role": "assistant", "content": "n"}]
    rows = [
        {"question": "a", "answer": "x"}, {"instruction": "b", "input": "c", "output": "y"},
        {"instruction": "d", "input": None}, {"prompt": "e"}, {"text": "f"}, {"messages": chat},
    ]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_questions(path) == ["a", "b\nc", "d", "e", "f", "m"]
    path.write_text('{"question": "a", "answer": "x"}')
    assert read_questions(path, "answer") == ["x"]
    with pytest.raises(DataError, match="the columns are question, answer; needed: title"):
        read_questions(path, "title")


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / name) for name in ("train.txt", "test.json")]
    (tmp_path / "train.txt").write_text("\n".join(TRAIN))
    (tmp_path / "test.json").write_text(json.dumps([{"question": text} for text in TEST]))
    return paths


def test_verb(files, capsys):
    assert main(["check-leak", *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == check_leak(TRAIN, TEST).as_dict()
    assert main(["check-leak", *files, "--pairs", "1", "--strict"]) == 1
    printed = capsys.readouterr().out
    assert "exact 1.00  test row 1, train row 1\n  test   how MANY eggs, has tom\n" in printed
    assert "… and 1 more pairs" in printed and "of 5 test questions 1 occur" in printed
    assert main(["check-leak", *files, "--threshold", "1", "--ngram", "3", "--ignore-digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"] == 2


@pytest.mark.parametrize("arguments,message", [
    (["--column", "title"], "needed: title"), (["--threshold", "2"], "threshold is 2.0"),
])  # fmt: skip
def test_verb_with_bad_input(files, arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["check-leak", *files, *arguments])
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and message in error


def test_mawps_and_addsub_share_58_questions(data_dir):
    mawps, addsub = (read_questions(data_dir / "math" / name / "test.json") for name in ("mawps", "addsub"))
    for train, test in ((mawps, addsub), (addsub, mawps)):
        report = check_leak(train, test)
        assert report.exact == 58
        for pair in report.pairs:
            if pair.kind == "exact":
                assert pair.test.replace(" ", "").lower() == pair.train.replace(" ", "").lower()


def test_training_files_share_nothing_with_the_test_files(data_dir):
    folder = data_dir / "math"
    assert not check_leak(read_questions(folder / "mawps/train.json"), read_questions(folder / "mawps/test.json"))
    test = read_questions(folder / "gsm8k/test.jsonl")
    train = [*read_questions(folder / "gsm8k/train.jsonl")[:1500], test[7].upper()]
    assert [pair.test_row for pair in check_leak(train, test[:150]).pairs] == [8]

"""Readers of word problems, and the generated ones: forms, bad rows, solutions that are right, splits that share nothing."""

import json
import re

import pytest

from ginets.data import arithmetic_generated
from ginets.data.arithmetic import Problem, problem, read_problems, segments
from ginets.data.arithmetic_generated import KINDS, SPLITS, generate, main, split_of
from ginets.data.tabular import DataError
from ginets.data.templates import ALPACA
from ginets.metrics.math_answers import find_number


GSM8K = {"question": "How many?", "answer": "2 + 2 = <<2+2=4>>4\nSo $<<4*1000=4000>>4,000.\n#### 4,000"}
ADAPTERS = {"instruction": "How many? ", "input": "", "output": "X=2. The answer is 2.0.", "answer": "2.0"}
AQUA = {"question": "Which?", "options": ["A)1", "B)2"], "rationale": "It is 2.", "correct": "B"}


def write(folder, rows, name: str = "a.jsonl"):
    path = folder / name
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_forms(tmp_path):
    rows = [GSM8K, {**ADAPTERS, "id": "x7"}, AQUA, {"question": "Q", "answer": "7"}, {**ADAPTERS, "answer": 2}]
    assert read_problems(write(tmp_path, rows)) == [
        Problem("0", "How many?", GSM8K["answer"], "4,000"),
        Problem("x7", "How many?", ADAPTERS["output"], "2.0"),
        Problem("2", "Which?\nAnswer choices: A)1, B)2", "It is 2.\nThe answer is B.", "B"),
        Problem("3", "Q", "", "7"),
        Problem("4", "How many?", ADAPTERS["output"], "2"),
    ]


def test_solution_is_trained_without_or_with_calculations():
    read, learnt = segments(problem(GSM8K))
    assert read.text == ALPACA.prompt("How many?") and learnt.text == "2 + 2 = 4\nSo $4,000.\n#### 4,000"
    assert learnt.trained and learnt.end
    assert segments(problem(GSM8K), calculations=True)[1].text == GSM8K["answer"]


@pytest.mark.parametrize("row,message", [
    ({"question": "Q"}, "the columns are question; needed: correct, options, question; answer, question"),
    ({**GSM8K, "question": " "}, "question is empty"),
    ({**GSM8K, "question": 3}, "question is 3; it must be text"),
    ({**GSM8K, "answer": "2\n#### many"}, "the answer 'many' is no number, letter or label"),
    ({**GSM8K, "answer": None}, "answer is None"),
    ({**ADAPTERS, "answer": ""}, "answer is empty"),
    ({**ADAPTERS, "instruction": None}, "question is empty"),
    ({**ADAPTERS, "output": 5}, "rationale is 5; it must be text"),
    ({**AQUA, "options": "A)1"}, "options is 'A)1'; it must be a list of texts"),
    ([], "a row is a JSON object"),
])  # fmt: skip
def test_bad_rows(row, message):
    with pytest.raises(DataError) as caught:
        problem(row)
    assert message in str(caught.value)


def test_ids_count_the_rows_of_the_file_and_occur_once(tmp_path):
    path = write(tmp_path, [GSM8K, {}, ADAPTERS])
    assert [each.id for each in read_problems(path, "skip")] == ["0", "2"]
    with pytest.raises(DataError, match=r"line 3: id '0' occurs twice"):
        read_problems(write(tmp_path, [GSM8K, AQUA, {**ADAPTERS, "id": 0}]))


def test_solutions_to_train_on_end_in_the_answer(tmp_path, caplog):
    rows = [GSM8K, {**ADAPTERS, "output": "The answer is 3."}, {**ADAPTERS, "output": ""}, AQUA]
    path = write(tmp_path, rows)
    with pytest.raises(DataError) as caught:
        read_problems(path, "refuse", rationales=True)
    assert "line 2: the solution ends in 3.0, the answer is 2.0" in str(caught.value)
    assert "line 3: there is no worked solution" in str(caught.value)
    assert [each.id for each in read_problems(path, "skip", rationales=True)] == ["0", "3"]
    assert len(read_problems(path)) == 4  # to evaluate on, all


def test_real_files(data_dir):
    folder = data_dir / "math"
    for name, rows in (("gsm8k/train.jsonl", 7473), ("gsm8k/test.jsonl", 1319), ("mawps/train.json", 613)):
        assert len(read_problems(folder / name, rationales=True)) == rows
    for name, rows in (("mawps", 238), ("svamp", 1000), ("addsub", 395)):
        assert len(read_problems(folder / name / "test.json")) == rows
        with pytest.raises(DataError, match=r"no worked solution|another model's text"):
            read_problems(folder / name / "test.json", rationales=True)


@pytest.fixture(scope="module")
def splits() -> dict[str, list[dict]]:
    return generate({"train": 1500, "validation": 200, "test": 200}, seed=1)


def test_generated_solutions_are_right(splits):
    for row in (row for rows in splits.values() for row in rows):
        *steps, last = row["answer"].splitlines()
        for step in steps:
            left, right = step.split(" = ")
            assert re.fullmatch(r"\d+ [-+*/] \d+", left) and eval(left) == int(right) >= 0
        assert last == f"#### {right}" and find_number(row["answer"]) == int(right)
        numbers = re.findall(r"\d+", row["question"])
        used = [number for step in steps for number in re.findall(r"\d+", step.split(" = ")[0])]
        assert sorted(numbers) == sorted(used[:2] + [n for n in used[2:] if n in numbers][-1:])


def test_generated_splits_share_no_question_and_no_calculation(splits):
    seen = {}
    for split, rows in splits.items():
        assert len(rows) == len({row["question"] for row in rows})
        for row in rows:
            assert seen.setdefault(row["question"], split) == split
            assert seen.setdefault(row["answer"], split) == split  # steps with their numbers


def test_generator_draws_the_same_rows_by_seed_and_knows_all_kinds(splits):
    assert generate({"train": 1500, "validation": 200, "test": 200}, seed=1) == splits
    assert generate({"train": 20}, seed=2) != generate({"train": 20}, seed=1)
    one, two = (generate({"train": 100}, steps=(count,))["train"] for count in (1, 2))
    assert {row["answer"].count("=") for row in one} == {1} and {row["answer"].count("=") for row in two} == {2}
    shares = [split_of(kind, (a, b)) for kind in KINDS for a in range(40) for b in range(40)]
    assert [shares.count(split) / len(shares) for split in SPLITS] == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


@pytest.mark.parametrize("arguments,message", [
    (({"dev": 3},), "unknown splits .'dev'."),
    (({"train": 2, "test": -1},), "sizes has test -1; it must be 0"),
    (({"test": 3}, 0, (3,)), "steps is .3.; a solution has 1 or 2"),
    (({"test": 3}, 0, ()), "steps is .."),
    (({"test": 3}, 0, (1, 2), 2), "largest is 2"),
    (({"test": 10000}, 0, (1,), 5), "test has 10000 rows, but only \\d+ questions were found"),
])  # fmt: skip
def test_what_cannot_be_generated(arguments, message, monkeypatch):
    monkeypatch.setattr(arithmetic_generated, "PATIENCE", 30)
    with pytest.raises(ValueError, match=message):
        generate(*arguments)


def test_files_of_the_generator(tmp_path, capsys):
    main([str(tmp_path / "new"), "--train", "30", "--validation", "4", "--test", "5", "--seed", "3"])
    assert capsys.readouterr().out.split() == [str(tmp_path / "new" / f"{split}.jsonl") for split in SPLITS]
    expected = generate({"train": 30, "validation": 4, "test": 5}, seed=3)
    for split, rows in expected.items():
        found = read_problems(tmp_path / "new" / f"{split}.jsonl", rationales=True)
        assert [each.rationale for each in found] == [row["answer"] for row in rows]

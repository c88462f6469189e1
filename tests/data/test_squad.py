"""SQuAD readers: every source ends in the same rows; one error for each thing that can be wrong."""

import csv
import json

import datasets
import pytest

from ginets.data.squad import load_files, load_hub, read_golds, read_predictions
from ginets.data.tabular import DataError


CONTEXT = "The Rhine rises in Graubünden. It is 1,233 km long."
ROWS = [
    {"id": "a", "title": "Rhine", "context": CONTEXT, "question": "Where does it rise?",
     "answers": {"text": ["Graubünden", "in Graubünden"], "answer_start": [19, 16]}},
    {"id": "b", "title": "Rhine", "context": CONTEXT, "question": " How deep is it?",
     "answers": {"text": [], "answer_start": []}},
    {"id": "c", "title": "", "context": "", "question": "What?", "answers": {"text": [], "answer_start": []}},
]  # fmt: skip


def pairs(answers: dict) -> list[dict]:
    return [{"text": t, "answer_start": s} for t, s in zip(answers["text"], answers["answer_start"], strict=True)]


def official(rows: list[dict]) -> dict:
    """The rows as articles of one paragraph each."""
    articles = []
    for row in rows:
        question = {"id": row["id"], "question": row["question"], "answers": pairs(row["answers"])}
        question["is_impossible"] = not row["answers"]["text"]
        articles.append({"title": row["title"], "paragraphs": [{"context": row["context"], "qas": [question]}]})
    return {"version": "v2.0", "data": articles}


def write(path, value) -> str:
    """`value` in the form that the ending of `path` asks for."""
    if path.suffix == ".csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(value[0]))
            table.writeheader()
            table.writerows(value)
    else:
        text = "\n".join(map(json.dumps, value)) if path.suffix == ".jsonl" else json.dumps(value)
        path.write_text(text, encoding="utf-8")
    return str(path)


def cells(spell) -> list[dict]:
    return [{**row, "answers": spell(row["answers"])} for row in ROWS]


@pytest.mark.parametrize("name,value", [
    ("official.json", official(ROWS)),
    ("flat.json", ROWS),
    ("data.json", {"data": ROWS}),
    ("lines.jsonl", ROWS),
    ("pairs.jsonl", cells(pairs)),
    ("table.csv", cells(json.dumps)),
    ("printed.csv", cells(repr)),
    ("pairs.csv", cells(lambda answers: json.dumps(pairs(answers)))),
])  # fmt: skip
def test_every_form_gives_the_same_rows(tmp_path, name, value):
    rows = load_files({"train": write(tmp_path / name, value)}, ["train"])["train"]
    assert list(rows) == ROWS
    assert rows.features["answers"]["answer_start"].feature.dtype == "int64"


def test_from_a_folder_in_place_of_the_hub(tmp_path):
    datasets.Dataset.from_list(ROWS).to_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet")
    loaded = load_hub(str(tmp_path), ["validation"], needs_answers=["validation"], cache_dir=str(tmp_path / "cache"))
    assert list(loaded["validation"]) == ROWS
    with pytest.raises(DataError, match="no split 'test'; it has validation"):
        load_hub(str(tmp_path), ["test"], cache_dir=str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"dataset '.*nowhere' cannot be loaded"):
        load_hub(str(tmp_path / "nowhere"), ["test"])


def test_rows_of_a_hub_dataset_are_checked(tmp_path):
    wrong = [*ROWS[:2], {**ROWS[2], "answers": {"text": ["x"], "answer_start": [0]}}]
    datasets.Dataset.from_list(wrong).to_parquet(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"\(train\), row 3 \(question 'c'\): answer_start is 0, where"):
        load_hub(str(tmp_path), ["train"], cache_dir=str(tmp_path / "cache"))


def test_answers_may_be_missing_only_where_they_are_not_needed(tmp_path):
    rows = [{key: value for key, value in row.items() if key not in ("answers", "title")} for row in ROWS]
    path = write(tmp_path / "test.jsonl", rows)
    assert load_files({"test": path})["test"].column_names == ["id", "context", "question"]
    with pytest.raises(DataError, match="no column 'answers'; it has id, context, question"):
        load_files({"test": path}, ["test"])


def test_numbers_as_ids_become_text(tmp_path):
    path = write(tmp_path / "rows.json", [{**ROWS[0], "id": 7}])
    assert load_files({"train": path})["train"]["id"] == ["7"]


WRONG = {
    "answer_start is 18, where the context has ' Graubünde'.*it stands at 19": ("answers", {"text": ["Graubünden"], "answer_start": [18]}),
    "the answer 'Zürich'; it does not occur there": ("answers", {"text": ["Zürich"], "answer_start": [3]}),
    "answer_start is None": ("answers", {"text": ["Rhine"]}),
    "answer_start is '4'": ("answers", {"text": ["Rhine"], "answer_start": ["4"]}),
    "answer_start is -1": ("answers", {"text": ["."], "answer_start": [-1]}),
    "2 text and 1 answer_start": ("answers", {"text": ["a", "b"], "answer_start": [1]}),
    "an answer text is empty": ("answers", {"text": [""], "answer_start": [0]}),
    "the answer text is 3": ("answers", {"text": [3], "answer_start": [0]}),
    "answers contains 'Rhine'": ("answers", ["Rhine"]),
    "answers is '5'; it must be": ("answers", 5),
    "answers is 'Rhine'; write it as JSON": ("answers", "Rhine"),
    "is_impossible is true, but there are answers": ("is_impossible", True),
    "question is empty": ("question", " \n"),
    "question is None": ("question", None),
    "context is 3; it must be text": ("context", 3),
    "context is not valid Unicode": ("context", "x\ud800"),
    "id is ' '": ("id", " "),
    "id is None": ("id", None),
    "id 'b' occurs twice": ("id", "b"),
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_said_with_file_and_place(tmp_path, message):
    field, value = WRONG[message]
    path = write(
        tmp_path / "bad.jsonl",
        [{"is_impossible": False, **ROWS[1]}, {"is_impossible": False, **ROWS[0], field: value}],
    )
    with pytest.raises(DataError, match=rf"bad\.jsonl, line 2.*{message}"):
        load_files({"train": path}, ["train"])


@pytest.mark.parametrize("change,message", [
    (lambda data: data["data"][1].pop("paragraphs"), "article 2|other columns"),
    (lambda data: data["data"][1].update(paragraphs=3), "article 2: paragraphs is '3'; it must be a list"),
    (lambda data: data["data"][1].update(paragraphs=["x"]), r"article 2 \(Rhine\): a paragraph is 'x'; it is an object with context, qas"),
    (lambda data: data["data"][1]["paragraphs"][0].pop("qas"), r"article 2 \(Rhine\): a paragraph has no 'qas'"),
    (lambda data: data["data"][1]["paragraphs"][0]["qas"][0].pop("id"), r"article 2 \(Rhine\): a question has no 'id'"),
    (lambda data: data["data"][1]["paragraphs"][0]["qas"][0].pop("answers"), "question 'b': answers is 'None'"),
    (lambda data: data["data"][1]["paragraphs"][0]["qas"][0].update(id="a"), "question 'a': id 'a' occurs twice"),
])  # fmt: skip
def test_a_broken_official_file(tmp_path, change, message):
    data = official(ROWS)
    change(data)
    with pytest.raises(DataError, match=message):
        load_files({"train": write(tmp_path / "train.json", data)}, ["train"])


def test_golds_are_read_as_they_are(tmp_path):
    """Scoring does not care about questions and offsets; 2.0 is known by its mark or by a question without answer."""
    rows = [{"id": 1, "answers": {"text": ["x", "x", ""]}}, {"id": 2, "answers": '[{"text": "y"}]'}]
    golds = {"1": ["x", "x", ""], "2": ["y"]}
    assert read_golds(write(tmp_path / "a.json", rows)) == (golds, False)
    marked = [{**row, "is_impossible": False} for row in rows]
    assert read_golds(write(tmp_path / "b.json", marked)) == (golds, True)
    assert read_golds(write(tmp_path / "c.json", [*rows, {"id": 3, "answers": []}])) == ({**golds, "3": []}, True)


@pytest.mark.parametrize("text,kind,message", [
    ("{", str, "not valid JSON"),
    ("[1]", str, "must be an object, question id → a text"),
    ('{"a": ["x"]}', str, r"question 'a': is \"\['x'\]\"; it must be a text"),
    ('{"a": "x"}', float, "it must be a number"),
    ('{"a": true}', float, "it must be a number"),
])  # fmt: skip
def test_prediction_files(tmp_path, text, kind, message):
    path = tmp_path / "predictions.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_predictions(path, kind)
    with pytest.raises(DataError, match="no such file"):
        read_predictions(tmp_path / "none.json")


def test_the_real_files(data_dir):
    """Counts of the data's own description; every offset was checked on the way."""
    known = {"v1.1/train": (12012, 0), "v1.1/dev": (1607, 0), "v2.0/train": (6627, 3514), "v2.0/dev": (2343, 1184)}
    for name, (count, impossible) in known.items():
        path = data_dir / "squad" / f"{name}.json"
        rows = load_files({"x": str(path)}, ["x"])["x"]
        assert (len(rows), sum(not each["text"] for each in rows["answers"])) == (count, impossible)
        golds, version_2 = read_golds(path)
        assert list(golds) == list(rows["id"]) and version_2 == name.startswith("v2")

"""Rows of files with their places: every form, and what becomes of bad ones."""

import json
import logging

import pytest
from datasets import Dataset

from ginets.data.records import check_object, keep, read_records
from ginets.data.tabular import DataError


ROWS = [{"text": "a"}, {"text": "b, \u2028c", "more": [1]}, 3]


def write(folder, name: str, text: str):
    path = folder / name
    path.write_bytes(text.encode())
    return path


def test_list_of_json_has_the_line_where_each_row_begins(tmp_path):
    text = "\ufeff[\r\n  " + ",\n\n".join(json.dumps(row, indent=1) for row in ROWS) + "\n]\n"
    found = list(read_records(write(tmp_path, "a.json", text)))
    lines = text.split("\n")
    assert [row for _, row in found] == ROWS == json.loads(text.removeprefix("\ufeff"))
    for number, (place, row) in enumerate(found, start=1):
        at = int(place.removeprefix(f"row {number} (line ").removesuffix(")")) - 1
        assert lines[at].strip().startswith(json.dumps(row)[0])
    assert list(read_records(write(tmp_path, "none.json", "[ ]"))) == []


def test_json_lines_go_on_behind_a_bad_line(tmp_path):
    text = f"\ufeff{json.dumps(ROWS[0])}\n\n{{oops\n{json.dumps(ROWS[1], ensure_ascii=False)}\r\n"
    for name in ("a.jsonl", "a.json"):
        (one, first), (two, bad), (three, last) = read_records(write(tmp_path, name, text))
        assert (one, two, three) == ("line 1", "line 3", "line 4") and [first, last] == ROWS[:2]
        assert isinstance(bad, DataError) and "not valid JSON" in str(bad)


def test_parquet_csv_and_text(tmp_path):
    rows = [{"text": "a", "input": None}, {"text": "b", "input": "c"}]
    Dataset.from_list(rows).to_parquet(tmp_path / "a.parquet")
    assert list(read_records(tmp_path / "a.parquet")) == [("row 1", rows[0]), ("row 2", rows[1])]
    csv = write(tmp_path, "a.csv", 'text,input\n"a, b",c\n')
    assert list(read_records(csv)) == [("line 2", {"text": "a, b", "input": "c"})]
    assert list(read_records(write(tmp_path, "a.txt", "a\nb\n"))) == [
        ("line 1", {"text": "a"}),
        ("line 2", {"text": "b"}),
    ]


@pytest.mark.parametrize("name,text,message", [
    ("a.xml", "", "files end in .json, .jsonl, .parquet, .csv, .txt, not '.xml'"),
    ("a.json", '[{"a": 1}, {]', "row 2 (line 1): not valid JSON"),
    ("a.json", '[{"a": 1}\n {"a": 2}]', "row 1 (line 1): not valid JSON (neither a comma"),
    ("a.json", '[{"a": 1}', "neither a comma nor the end"),
    ("a.json", '[{"a": 1}] x', "something follows the list"),
    ("a.json", "[", "row 1 (line 1): not valid JSON"),
    ("a.json", " ", "the file is empty"),
    ("a.parquet", "PAR1 not really", "not a parquet file"),
])  # fmt: skip
def test_files_that_cannot_be_read(name, text, message, tmp_path):
    with pytest.raises(DataError) as caught:
        list(read_records(write(tmp_path, name, text)))
    assert message in str(caught.value) and name in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"gone\.json: there is no such file"):
        read_records(tmp_path / "gone.json")


def numbers(record: object) -> int:
    return check_object(record)["n"] if isinstance(record, dict) and record.get("n") is not None else fail(record)


def fail(record):
    raise DataError(f"{record!r} has no n.")


RECORDS = [("line 1", {"n": 1}), ("line 2", {}), ("line 4", DataError("not valid JSON.")), ("line 5", {"n": 5})]


def test_bad_rows_are_refused_together():
    with pytest.raises(DataError) as caught:
        keep(RECORDS, numbers, "a.json", "refuse")
    message = "a.json: 2 of 4 rows cannot be used: line 2: {} has no n. line 4: not valid JSON. Mend or delete them"
    assert str(caught.value).startswith(message) and "bad_rows" in str(caught.value)
    with pytest.raises(DataError) as caught:
        keep([(f"line {i}", {}) for i in range(1, 9)], numbers, "a.json")
    assert "line 5:" in str(caught.value) and "line 6:" not in str(caught.value) and "and 3 more" in str(caught.value)
    assert "bad_rows" not in str(caught.value)


def test_bad_rows_are_skipped_with_a_warning_each(caplog):
    with caplog.at_level(logging.WARNING):
        assert keep(RECORDS, numbers, "a.json", "skip") == [1, 5]
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["a.json, line 2: {} has no n. Skipped.", "a.json, line 4: not valid JSON. Skipped."]


def test_nothing_left_and_unknown_policies():
    with pytest.raises(DataError, match="no row that can be used"):
        keep(RECORDS[1:3], numbers, "a.json", "skip")
    with pytest.raises(DataError, match="bad_rows is 'ignore'; choose from refuse, skip"):
        keep(RECORDS, numbers, "a.json", "ignore")
    with pytest.raises(DataError, match="a row is a JSON object"):
        keep([("line 1", 3)], check_object, "a.json")

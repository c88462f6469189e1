"""GLUE readers: hand-written files in each official layout, malformed files, and the real files where present."""

import json
from pathlib import Path

import pytest

from ginets.data.glue import TASKS, find_task, load_files, load_folder, load_hub
from ginets.data.tabular import DataError, read_table, read_tsv


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


# task → (file, its text, expected text columns of the first row, expected labels)
MNLI_HEAD = "index\tgenre\tsentence1\tsentence2\tlabel1\tgold_label\n"
OFFICIAL = {
    "cola": ("CoLA/train.tsv", "gj04\t1\t\tThe cat sat.\nx\t0\t*\tCat the sat.\n", ["The cat sat."], [1, 0]),
    "sst2": ("SST-2/train.tsv", "sentence\tlabel\ngood \t1\nbad \t0\n", ["good "], [1, 0]),
    "mrpc": (
        "MRPC/train.tsv",
        '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tHe said "yes.\tHe agreed.\r\n'
        '0\t9\t3\tNo.\tMaybe".\r\n',
        ['He said "yes.', "He agreed."],
        [1, 0],
    ),
    "qqp": (
        "QQP/train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow come?\t1\n4\t5\t6\tbroken\n"
        "7\t8\t9\tWho?\tWhen?\t0\n",
        ["Why?", "How come?"],
        [1, 0],
    ),
    "stsb": (
        "STS-B/train.tsv",
        "index\tsentence1\tsentence2\tscore\n0\ta\tb\t5.000\n1\tc\td\t3\n",
        ["a", "b"],
        [5, 3],
    ),
    "mnli": (
        "MNLI/train.tsv",
        MNLI_HEAD
        + "0\tx\tp\th\tneutral\tcontradiction\n1\tx\tp\th\tneutral\tneutral\n2\tx\tp\th\tneutral\tentailment\n",
        ["p", "h"],
        [2, 1, 0],
    ),
    "qnli": (
        "QNLI/train.tsv",
        "index\tquestion\tsentence\tlabel\n0\tq\ts\tnot_entailment\n1\tq\ts\tentailment\n",
        ["q", "s"],
        [1, 0],
    ),
    "rte": ("RTE/train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n", ["a", "b"], [0]),
    "wnli": ("WNLI/train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\t1\n1\tc\td\t0\n", ["a", "b"], [1, 0]),
}


@pytest.mark.parametrize("name", TASKS)
def test_official_layout(name, tmp_path):
    file, text, first, labels = OFFICIAL[name]
    write(tmp_path / file, text)
    rows = load_folder(find_task(name), tmp_path, ["train"]).splits["train"]
    assert [rows[0][column] for column in TASKS[name].text] == first
    assert rows["label"] == labels
    assert rows["idx"] == list(range(len(labels)))


def test_text_keeps_what_only_looks_like_a_line_end(tmp_path):
    write(tmp_path / "SST-2/dev.tsv", "sentence\tlabel\none\u2028line\x85 still\t1\n")
    rows = load_folder(find_task("sst2"), tmp_path, ["validation"]).splits["validation"]
    assert rows["sentence"] == ["one\u2028line\x85 still"]


def test_mnli_has_two_evaluations_and_unlabelled_tests(tmp_path):
    for half in ("matched", "mismatched"):
        write(tmp_path / f"MNLI/dev_{half}.tsv", MNLI_HEAD + f"0\tx\t{half}\th\tneutral\tneutral\n")
        write(tmp_path / f"MNLI/test_{half}.tsv", "index\tsentence1\tsentence2\n0\tp\th\n")
    task = find_task("MNLI")
    splits = [*task.evaluations.values(), *task.tests.values()]
    examples = load_folder(task, tmp_path, splits)
    assert examples.splits["validation_mismatched"]["premise"] == ["mismatched"]
    assert "label" not in examples.splits["test_matched"].column_names


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sentence\tlabel\ngood\t1\nbad\n", "line 3: 1 tab-separated columns, but 2"),
        ("sentence\tlabel\ngood\t1\textra\n", "line 2: 3 tab-separated"),
        ("sentence\tlabel\ngood\t2\n", "line 2: the label is '2'"),
        ("text\tlabel\ngood\t1\n", "no column 'sentence'; it has text, label"),
        ("sentence\tlabel\tlabel\ngood\t1\t0\n", "two columns are called 'label'"),
        ("sentence\tlabel\n", "has no rows"),
        ("", "is empty"),
    ],
)
def test_malformed_tsv_names_file_and_line(text, says, tmp_path):
    path = write(tmp_path / "SST-2/train.tsv", text)
    with pytest.raises(DataError, match=says) as caught:
        load_folder(find_task("sst2"), tmp_path, ["train"])
    assert str(path) in str(caught.value)


def test_missing_and_undecodable_files(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_tsv(tmp_path / "none.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"a\tb\n\xe9\t1\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_tsv(tmp_path / "latin.tsv")


def test_qqp_reports_the_rows_it_leaves_out(tmp_path):
    rows, skipped = read_tsv(write(tmp_path / "a.tsv", "a\tb\n1\t2\n3\n"), skip_short_rows=True)
    assert len(rows) == 1 and skipped == [3]


@pytest.mark.parametrize("ending", [".csv", ".json", ".jsonl"])
def test_files_without_a_task(ending, tmp_path):
    rows = [{"text": "null", "label": "up"}, {"text": 'a, "b"', "label": "down"}]
    path = tmp_path / f"train{ending}"
    if ending == ".csv":
        path.write_text('text,label\nnull,up\n"a, ""b""",down\n')
    elif ending == ".json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    examples = load_files({"train": str(path)})
    assert examples.text == ("text",) and examples.labels == ("down", "up")
    assert examples.splits["train"]["text"] == ["null", 'a, "b"']
    assert examples.splits["train"]["label"] == [1, 0]
    assert examples.metrics == ("accuracy",)


def test_integer_labels_are_classes_and_decimal_labels_are_scores(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "\n".join(f"t,{label}" for label in (10, 9, 2)))
    examples = load_files({"train": str(path)})
    assert examples.labels == ("2", "9", "10") and examples.splits["train"]["label"] == [2, 1, 0]
    path.write_text("text,label\na,0.5\nb,2\n")
    examples = load_files({"train": str(path)})
    assert examples.labels == () and examples.splits["train"]["label"] == [0.5, 2.0]
    assert examples.metrics == ("pearson", "spearmanr")


def test_labels_of_every_plain_kind(tmp_path):
    """Spaces around a label in a csv file are not part of it: `w, 1` is class 1 and no decimal number."""
    path = tmp_path / "train.csv"
    path.write_text("text,label\na, 1\nb,0 \nc,1\n")
    examples = load_files({"train": str(path)})
    assert examples.labels == ("0", "1") and examples.splits["train"]["label"] == [1, 0, 1]
    for labels, names, ids in (
        ([True, False], ("False", "True"), [1, 0]),
        ([3, -1], ("-1", "3"), [1, 0]),
        ([0.5, 2], (), [0.5, 2.0]),
    ):
        path = tmp_path / "train.json"
        path.write_text(json.dumps([{"text": "t", "label": label} for label in labels]))
        examples = load_files({"train": str(path)})
        assert examples.labels == names and examples.splits["train"]["label"] == ids


@pytest.mark.parametrize(
    ("labels", "expected"), [(["-1", "-1"], None), (["", ""], None), (["1", "0"], [1, 0]), (["-1", "1"], "line 2")]
)
def test_a_test_file_with_nothing_or_minus_one_as_labels_is_unlabelled(labels, expected, tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("sentence,label\n" + "".join(f"t,{label}\n" for label in labels))
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            load_files({"test": str(path)}, find_task("sst2"))
        return
    rows = load_files({"test": str(path)}, find_task("sst2")).splits["test"]
    assert (list(rows["label"]) if "label" in rows.column_names else None) == expected
    if expected is None:
        with pytest.raises(DataError, match="the label is"):
            load_files({"validation": str(path)}, find_task("sst2"), needs_label=["validation"])


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "text,label\na,b,c\n", "line 2: not 2 comma-separated columns"),
        ("a.csv", "a,b,c,label\n1,2,3,x\n", "cannot tell the text columns among a, b, c"),
        ("a.csv", "text\nx\n", "no column 'label'"),
        ("a.json", "{nonsense", "not valid JSON"),
        ("a.csv", "text,label,text\na,1,b\n", "two columns are called 'text'"),
        ("a.csv", "text,label\na,0\nb,1\nc,\n", "a.csv, line 4: the label is ''; it must be a word or a number"),
        ("a.csv", "text,label\na,up\nb,up\n", "every label is 'up'; a classifier needs at least two classes"),
        ("a.json", "[1]", "a.json, row 1: a row is a JSON object"),
        ("a.json", "5", "the file is '5'; it must be a list"),
        ("a.json", '{"data": 3}', "`data` is '3'; it must be a list"),
        ("a.json", '[{"text": "a", "label": 1},\n{"text": "b", "label": null}]', "a.json, row 2: the label is None"),
        ("a.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": [1]}', r"line 2: the label is \[1\]"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}', "other columns than the first row .label."),
        ("a.jsonl", '{"text": null, "label": 1}\n{"text": "b", "label": 0}', "text is None; it must be text"),
        ("a.txt", "x", "files end in .csv, .json, .jsonl"),
        (
            "a.json",
            '[{"text": "a\\ud800", "label": "x"}, {"text": "b", "label": "y"}]',
            "row 1: text is not valid Unicode",
        ),
    ],
)
def test_malformed_files(name, text, says, tmp_path):
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=says):
        load_files({"train": str(path)}, needs_label=["train"])


@pytest.mark.parametrize("head", ["", "Unnamed: 0", "uid", "id"])
def test_the_index_of_a_table_is_no_text(tmp_path, head, caplog):
    path = write(tmp_path / "a.csv", f"{head},review,label\n0,bad film,0\n1,good film,1\n")
    with caplog.at_level("INFO", logger="ginets"):
        examples = load_files({"train": str(path)})
    assert examples.text == ("review",) and examples.splits["train"]["review"] == ["bad film", "good film"]
    assert "texts are those of review" in caplog.text


def test_labels_with_a_sign_are_classes(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,+1\nb,-1\n")
    examples = load_files({"train": str(path)}, needs_label=["train"])
    assert examples.labels == ("-1", "+1") and examples.splits["train"]["label"] == [1, 0]


def test_a_cell_may_hold_a_document(tmp_path):
    text = "word " * 60_000
    examples = load_files({"train": str(write(tmp_path / "a.csv", f"text,label\n{text},x\nb,y\n"))})
    assert examples.splits["train"]["text"][0] == text


def test_labels_unknown_to_the_training_file(tmp_path):
    train = write(tmp_path / "train.csv", "text,label\na,x\nb,y\n")
    dev = write(tmp_path / "dev.csv", "text,label\na,x\nb,z\n")
    with pytest.raises(DataError, match=r"dev\.csv, line 3: the label is 'z'; labels of this task are x, y"):
        load_files({"train": str(train), "validation": str(dev)})


def test_unknown_task_lists_all():
    with pytest.raises(DataError, match="cola, sst2, mrpc, qqp, stsb, mnli, qnli, rte, wnli"):
        find_task("snli")


def test_hub_layout(tmp_path, monkeypatch):
    """`datasets.load_dataset` takes a folder of the same name in the current directory for the Hub's repository."""
    folder = tmp_path / "nyu-mll/glue"
    write(folder / "rte/train.jsonl", '{"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0}\n')
    write(folder / "rte/test.jsonl", '{"sentence1": "c", "sentence2": "d", "label": -1, "idx": 0}\n')
    head = "configs:\n- config_name: rte\n  data_files:\n  - split: train\n    path: rte/train.jsonl\n"
    write(folder / "README.md", f"---\n{head}  - split: test\n    path: rte/test.jsonl\n---\n")
    monkeypatch.chdir(tmp_path)
    examples = load_hub(find_task("rte"), ["train", "test"], cache_dir=str(tmp_path / "cache"))
    assert examples.splits["train"]["label"] == [1]
    assert "label" not in examples.splits["test"].column_names
    with pytest.raises(DataError, match="no split 'validation'; it has train, test"):
        load_hub(find_task("rte"), ["validation"], cache_dir=str(tmp_path / "cache"))


REAL_ROWS = {
    "cola": (8551, 1043), "sst2": (20000, 872), "mrpc": (3668, 408), "stsb": (5749, 1500), "rte": (2490, 277),
    "wnli": (635, 71), "qnli": (None, 5463),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL_ROWS)
def test_real_files(name, data_dir):
    counts = dict(zip(("train", "validation"), REAL_ROWS[name], strict=True))
    wanted = [split for split, count in counts.items() if count]
    examples = load_folder(find_task(name), data_dir / "glue", wanted)
    assert {split: len(rows) for split, rows in examples.splits.items()} == {s: counts[s] for s in wanted}
    if name == "mrpc":
        assert sum(examples.splits["validation"]["label"]) == 279
    if name == "stsb":
        assert all(0 <= score <= 5 for score in examples.splits["train"]["label"])


def test_json_object_with_a_data_list(tmp_path):
    rows = read_table(write(tmp_path / "a.json", '{"data": [{"text": "a"}, {"text": "b"}]}'))
    assert [row["text"] for row in rows] == ["a", "b"]

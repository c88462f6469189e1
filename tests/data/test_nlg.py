"""Readers of E2E, WebNLG and DART: hand-made files, counts of the real ones, one error for each thing that can be wrong."""

import csv
import json
import logging

import datasets
import pytest

from ginets.data.nlg import (
    Item,
    Linearisation,
    distinct,
    load_hub,
    read_predictions,
    read_rows,
    write_predictions,
)
from ginets.data.tabular import DataError


MILL, VINE = "name[The Mill], eatType[pub], familyFriendly[no]", "name[Vine, Inc.], priceRange[£20-25]"
E2E = [
    {"mr": MILL, "ref": "The Mill is a pub.\u2028 "},
    {"mr": VINE, "ref": 'Vine, Inc. costs "£20".'},
    {"mr": MILL, "ref": "A pub."},
]
TRIPLES = [("Aarhus_Airport", "cityServed", '"Aarhus, Denmark"'), ("Aarhus", "leaderName", "J_B")]


def webnlg_entry(category: str, triples, *texts: tuple[str, str]) -> dict:
    names = ("subject", "property", "object")
    return {
        "category": category,
        "modifiedtripleset": [dict(zip(names, triple, strict=True)) for triple in triples],
        "lexicalisations": [{"comment": comment, "lex": lex} for comment, lex in texts],
    }


WEBNLG = [
    webnlg_entry("Airport", TRIPLES, ("good", "One. "), ("toFix", "Two."), ("good", "Three.")),
    webnlg_entry("Artist", TRIPLES[:1], ("good", "Four.")),
    webnlg_entry("Building", TRIPLES[:1], ("good", "Five.")),
    webnlg_entry("Building", TRIPLES[1:], ("toFix", "Six.")),
]
DART = [
    {"tripleset": [["A", "IS_IN", "B"], ["[TABLECONTEXT]", "[TITLE]", "C"]], "subtree_was_extended": False,
     "annotations": [{"source": "x", "text": "A is in B."}, {"source": "y", "text": " "}]},
    {"tripleset": [["A", "is_in", "B"], ["[TABLECONTEXT]", "[title]", "C"]],
     "annotations": [{"source": "x", "text": "In B."}]},
]  # fmt: skip


def published(entries: list[dict]) -> dict:
    return {"entries": [{str(number): entry} for number, entry in enumerate(entries, start=1)]}


@pytest.fixture
def file(tmp_path):
    def write(name: str, value) -> str:
        path = tmp_path / name
        if name.endswith(".csv"):
            with open(path, "w", encoding="utf-8", newline="") as opened:
                table = csv.DictWriter(opened, list(value[0]), quoting=csv.QUOTE_ALL)
                table.writeheader()
                table.writerows(value)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    return write


def test_e2e(file):
    path = file("e2e.csv", E2E)
    rows = read_rows("e2e", path)
    assert [list(row.values()) for row in rows] == [
        [MILL, "The Mill is a pub."], [VINE, 'Vine, Inc. costs "£20".'], [MILL, "A pub."]
    ]  # fmt: skip
    assert list(rows[0]) == ["input", "reference"]
    assert distinct(rows) == [
        Item("0", MILL, ("The Mill is a pub.", "A pub.")), Item("1", VINE, ('Vine, Inc. costs "£20".',))
    ]  # fmt: skip
    written = read_rows("e2e", path, form=Linearisation(attributes=True))
    assert written[0]["input"] == "name : The Mill | Type : pub | family friendly : no"
    assert written[1]["input"] == "name : Vine, Inc. | price : £20-25"
    assert read_rows("e2e", file("e2e.jsonl", "\n".join(map(json.dumps, E2E)))) == rows


def test_webnlg(file):
    path = file("webnlg.json", published(WEBNLG))
    rows = read_rows("webnlg", path)
    first = 'Aarhus_Airport : cityServed : "Aarhus, Denmark"'
    both = f"{first} | Aarhus : leaderName : J_B"
    assert [list(row.values()) for row in rows] == [
        [both, "One.", "Airport"], [both, "Three.", "Airport"], [first, "Four.", "Artist"], [first, "Five.", "Building"]
    ]  # fmt: skip
    assert [row["reference"] for row in read_rows("webnlg", path, "seen")] == ["One.", "Three.", "Five."]
    assert [row["reference"] for row in read_rows("webnlg", path, "unseen")] == ["Four."]
    # ids are those of all inputs; only the references of the categories that are asked for count
    assert distinct(rows, "unseen") == [Item("1", first, ("Four.",))]
    assert distinct(rows, "seen")[1] == Item("1", first, ("Five.",))
    short = read_rows("webnlg", path, form=Linearisation(field="/", triple=" + ", lower_relation=True))
    assert short[0]["input"] == 'Aarhus_Airport/cityserved/"Aarhus, Denmark" + Aarhus/leadername/J_B'


def test_dart(file, caplog):
    path = file("dart.json", DART)
    with caplog.at_level(logging.WARNING):
        rows = read_rows("dart", path)
    line = "A : is_in : B | [TABLECONTEXT] : [title] : C"
    assert rows == [{"input": line, "reference": "A is in B."}, {"input": line, "reference": "In B."}]
    assert "1 empty references are left out, e.g. " in caplog.text and "dart.json, entry 1" in caplog.text
    exact = read_rows("dart", path, form=Linearisation())
    assert [item.input for item in distinct(exact)] == ["A : IS_IN : B | [TABLECONTEXT] : [TITLE] : C", line]


def hub_webnlg(entry: dict, test_category: str) -> dict:
    triples = [" | ".join(triple.values()) for triple in entry["modifiedtripleset"]]
    texts = entry["lexicalisations"]
    return {
        "category": entry["category"], "test_category": test_category,
        "modified_triple_sets": {"mtriple_set": [triples]},
        "lex": {"comment": [each["comment"] for each in texts], "text": [each["lex"] for each in texts]},
    }  # fmt: skip


def hub_dart(entry: dict) -> dict:
    texts = entry["annotations"]
    return {
        "tripleset": entry["tripleset"],
        "annotations": {name: [each[name] for each in texts] for name in ("source", "text")},
    }


def test_the_hub_gives_the_same_rows(file, tmp_path):
    """A folder in the form of the Hub's parquet branch stands for it."""
    forms = {
        "e2e": (file("e2e.csv", E2E), [{"meaning_representation": r["mr"], "human_reference": r["ref"]} for r in E2E]),
        "webnlg": (
            file("webnlg.json", published(WEBNLG)),
            [hub_webnlg(entry, "testdata_with_lex") for entry in WEBNLG]
            + [hub_webnlg(WEBNLG[0], "testdata_unseen_with_lex"), hub_webnlg(WEBNLG[0], "testdata_no_lex")],
        ),
        "dart": (file("dart.json", DART), [hub_dart(entry) for entry in DART]),
    }
    for task, (path, rows) in forms.items():
        for split in ("train", "test"):
            folder = tmp_path / "hub" / task / "default" / split
            folder.mkdir(parents=True)
            datasets.Dataset.from_list(rows).to_parquet(folder / "0000.parquet")
        options = {"data_dir": "default", "cache_dir": str(tmp_path / "cache")}
        loaded = load_hub(task, ["test", "train"], dataset=str(tmp_path / "hub" / task), **options)
        assert loaded == dict.fromkeys(["test", "train"], read_rows(task, path))
    with pytest.raises(DataError, match="has no split 'dev'"):
        load_hub(task, ["dev"], dataset=str(tmp_path / "hub" / task), **options)


def changed(entry: dict, **fields) -> dict:
    return {**entry, **fields}


NO_OBJECT = [{"subject": "a", "property": "b"}]
BAD = {
    "e2e.csv": [
        ([{"mr": "x", "reference": "y"}], "line 2: there is no 'ref'; it has mr, reference"),
        ([{"mr": " ", "ref": "y"}], "line 2: mr is empty"),
        ([{"mr": "x", "ref": " "}], "there is no reference"),
    ],
    "webnlg.json": [
        ("{", "not valid JSON"),
        ({"data": []}, "there is no 'entries'; it has data"),
        ([1], "it must be an object with 'entries'"),
        (published(WEBNLG[3:]), "there is no reference"),
        ({"entries": [WEBNLG[0]]}, r"entry 1: is .* it must be an object \{\"1\": \{…\}\}"),
        (published([WEBNLG[0], changed(WEBNLG[0], category=3)]), "entry 2: category is 3; it must be text"),
        (published([changed(WEBNLG[0], category="")]), "entry 1: category is empty"),
        (published([changed(WEBNLG[0], modifiedtripleset=[])]), "entry 1: modifiedtripleset is empty; there is nothing"),
        (published([changed(WEBNLG[0], modifiedtripleset=NO_OBJECT)]),
         "entry 1, modifiedtripleset 1: there is no 'object'; it has subject, property"),
        (published([changed(WEBNLG[0], lexicalisations=[{"lex": "x"}])]), "lexicalisation 1: there is no 'comment'"),
        (published([changed(WEBNLG[0], lexicalisations=[{"comment": "good", "lex": None}])]),
         "entry 1, lexicalisation 1: lex is None; it must be text"),
        (published([changed(WEBNLG[0], lexicalisations={})]), "entry 1: lexicalisations is {}; it must be a list"),
    ],
    "dart.json": [
        ({"a": 1}, "it must be a list of entries"),
        ([DART[0], 5], "entry 2: is '5'; it must be an object with 'tripleset'"),
        ([changed(DART[0], tripleset=[["a", "b"]])], r"entry 1, tripleset 1: .* it must be \[subject, relation, object\]"),
        ([changed(DART[0], tripleset=[["a", 1, "b"]])], "tripleset 1: relation is 1; it must be text"),
        ([changed(DART[0], annotations=[{"source": "x"}])], "annotation 1: there is no 'text'; it has source"),
        ([changed(DART[0], annotations=[{"text": "\ud800"}])], "annotation 1: text is not valid Unicode"),
        ([changed(DART[0], annotations={"text": ["a"], "source": []})], "text, source must be lists of one length"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name,value,message", [(name, *case) for name, cases in BAD.items() for case in cases])
def test_what_is_wrong_is_said_with_file_and_place(file, name, value, message):
    with pytest.raises(DataError, match=rf"{name.replace('.', '[.]')}.*{message}"):
        read_rows(name.split(".")[0], file(name, value))


def test_options_that_do_not_fit(file):
    path = file("e2e.csv", [{"mr": "a pub", "ref": "y"}])
    for arguments, message in (
        (("poetry", path), "task is 'poetry'; choose from e2e, webnlg, dart"),
        (("webnlg", path, "some"), "categories is 'some'; choose from all, seen, unseen"),
        (("e2e", path, "seen"), "only WebNLG knows seen and unseen ones"),
        (("e2e", path, "all", Linearisation(attributes=True)), r"line 2: mr is 'a pub'; it must be name\[value\]"),
        (("dart", "none.json"), "none.json: there is no such file"),
    ):
        with pytest.raises(DataError, match=message):
            read_rows(*arguments)


ITEMS = [Item("0", "zero", ("a",)), Item("1", "one", ("b",)), Item("2", "two", ("c",))]


def test_predictions(file, tmp_path):
    text = file("all.txt", "first\r\n\nthird \u2028 line\n")
    assert read_predictions(text, ITEMS) == ["first", "", "third \u2028 line"]
    assert read_predictions(text, ITEMS, ITEMS[1:]) == ["", "third \u2028 line"]
    assert read_predictions(file("some.txt", "second\nthird"), ITEMS, ITEMS[1:]) == ["second", "third"]
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, ITEMS[::-1], ["c\nd", "é", ""])
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[1]) == {"id": "1", "input": "one", "text": "é"}
    assert read_predictions(path, ITEMS) == ["", "é", "c\nd"]
    part = file("part.jsonl", '{"id": 2, "text": "c"}\n{"id": 1, "text": "b"}')
    assert read_predictions(part, ITEMS, ITEMS[1:]) == ["b", "c"]


@pytest.mark.parametrize("name,value,message", [
    ("p.txt", "a\nb\n", "has 2 lines, the data 3 distinct inputs; give one prediction per line"),
    ("p.txt", "a\nb\nc\n\n", "has 4 lines"),
    ("p.jsonl", '{"id": 0, "text": "a"}', "2 of 3 inputs have no prediction, e.g. id '1'"),
    ("p.jsonl", '{"id": 7, "text": "a"}', "line 1: there is no input '7'; ids number the distinct inputs, 0 to 2"),
    ("p.jsonl", '{"id": 0, "text": "a"}\n{"id": "0", "text": "a"}', "line 2: id '0' occurs twice"),
    ("p.jsonl", '{"id": 0, "output": "a"}', "line 1: there is no 'text'"),
    ("p.jsonl", '{"id": 0, "text": null}', "line 1: text is None; it must be text"),
    ("p.jsonl", '{"id": 0, "input": "one", "text": "a"}', "input is 'one', that of id '0' in the data 'zero'"),
])  # fmt: skip
def test_predictions_that_do_not_fit(file, name, value, message):
    with pytest.raises(DataError, match=message):
        read_predictions(file(name, value), ITEMS)
    if name == "p.txt":
        with pytest.raises(DataError, match=r"3 distinct inputs \(1 of them count\)"):
            read_predictions(file(name, value), ITEMS, ITEMS[1:2])


# real files; counts as the originals' logs and papers have them, contents by another way through the files


@pytest.mark.parametrize("task,name,rows,inputs", [
    ("e2e", "train.csv", 42061, 4862),
    ("e2e", "dev.csv", 4672, 547),
    ("e2e", "test.csv", 4693, 630),
    ("webnlg", "train.json", 18025, 6888),
    ("webnlg", "dev.json", 2258, 870),
    ("webnlg", "test.json", 4928, 1862),
    ("dart", "dev.json", 6980, 2721),
    ("dart", "test.json", 12551, 4159),  # of 12,552: one is empty
])  # fmt: skip
def test_real_files(data_dir, task, name, rows, inputs):
    path = data_dir / "nlg" / task / name
    read = read_rows(task, path)
    assert (len(read), len(distinct(read))) == (rows, inputs)
    assert [(row["input"], row["reference"]) for row in read] == list(by_another_way(task, path))


def by_another_way(task: str, path):
    if task == "e2e":
        import pandas

        for mr, ref in pandas.read_csv(path, keep_default_na=False).itertuples(index=False):
            yield mr, ref.strip()
    elif task == "webnlg":
        for wrapped in json.loads(path.read_bytes())["entries"]:
            for entry in wrapped.values():
                parts = [f"{t['subject']} : {t['property']} : {t['object']}" for t in entry["modifiedtripleset"]]
                for each in entry["lexicalisations"]:
                    if each["comment"] == "good":
                        yield " | ".join(parts), each["lex"].strip()
    else:
        for entry in json.loads(path.read_bytes()):
            parts = [f"{s} : {r.lower()} : {o}" for s, r, o in entry["tripleset"]]
            for each in entry["annotations"]:
                if each["text"].strip():
                    yield " | ".join(parts), each["text"].strip()


def test_seen_and_unseen_inputs_of_the_real_test_set(data_dir):
    rows = read_rows("webnlg", data_dir / "nlg" / "webnlg" / "test.json")
    seen, unseen = distinct(rows, "seen"), distinct(rows, "unseen")
    assert (len(seen), len(unseen)) == (971, 891)
    assert sorted(int(item.id) for item in seen + unseen) == list(range(1862))
    train = {row["category"] for row in read_rows("webnlg", data_dir / "nlg" / "webnlg" / "train.json")}
    assert {row["category"] for row in rows} - train == {
        "Artist", "Athlete", "CelestialBody", "MeanOfTransportation", "Politician"
    }  # fmt: skip
    assert len(train) == 10

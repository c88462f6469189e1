"""`ginets eval nlg`: what is printed, with and without Java, and one line with exit code 2 for bad input."""

import json
import shutil

import pytest

from ginets.cli import main
from ginets.metrics.nlg import evaluate


pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
MRS = "mr,ref\n{0},The Mill is a pub.\n{1},Vine sells cheap wine.\n{0},A pub called The Mill.\n{0},The Mill.\n"
E2E = MRS.format("name[The Mill]", "name[Vine]")
TEXTS = ["The Mill is a cheap pub.", "Vine sells wine."]
REFERENCES = [["The Mill is a pub.", "A pub called The Mill.", "The Mill."], ["Vine sells cheap wine."]]


def entry(category: str, subject: str, text: str) -> dict:
    triple = {"subject": subject, "property": "is", "object": "x"}
    return {"category": category, "modifiedtripleset": [triple], "lexicalisations": [{"comment": "good", "lex": text}]}


WEBNLG = {"entries": [{"1": entry("Airport", "A", REFERENCES[0][0])}, {"2": entry("Artist", "B", REFERENCES[1][0])}]}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)  # no Java: tests of the metrics have it

    def write(name: str, value) -> str:
        (tmp_path / name).write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_e2e(file, capsys):
    data, predictions = file("e2e.csv", E2E), file("predictions.txt", "\n".join(TEXTS))
    figures, _ = evaluate("e2e", TEXTS, REFERENCES)
    assert main(["eval", "nlg", "--task", "e2e", data, predictions]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"BLEU  {figures['BLEU']!r}\nNIST  {figures['NIST']!r}\n"
    lines = printed.err.splitlines()
    assert [line.split(" is not computed: needs a Java runtime")[0] for line in lines] == [
        f"ginets eval nlg: {name}" for name in ("METEOR", "ROUGE_L", "CIDEr")
    ]
    command = ["eval", "nlg", "--task", "e2e", data, predictions, "--max-references", "1", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out) == evaluate("e2e", TEXTS, [texts[:1] for texts in REFERENCES])[0]


@pytest.mark.parametrize("chosen,which", [("all", [0, 1]), ("seen", [0]), ("unseen", [1])])
def test_webnlg(file, capsys, chosen, which):
    lines = "\n".join(json.dumps({"id": i, "text": TEXTS[i]}) for i in (1, 0))
    data = file("webnlg.json", WEBNLG)
    figures, _ = evaluate("webnlg", [TEXTS[i] for i in which], [[REFERENCES[i][0]] for i in which])
    for predictions in (file("p.jsonl", lines), file("p.txt", "\n".join(TEXTS))):
        assert main(["eval", "nlg", "--task", "webnlg", data, predictions, "--filter", chosen, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == figures


def test_empty_predictions_are_counted(file, capsys):
    assert main(["eval", "nlg", "--task", "e2e", file("e2e.csv", E2E), file("p.txt", "A pub.\n \n")]) == 0
    assert "1 of 2 predictions are empty" in capsys.readouterr().err


@pytest.mark.parametrize("arguments,message", [
    (("e2e", "e2e.csv", "three.txt"), "has 3 lines, the data 2 distinct inputs"),
    (("e2e", "e2e.csv", "none.txt"), "none.txt: there is no such file"),
    (("e2e", "e2e.csv", "two.txt", "--filter", "seen"), "--filter seen: only WebNLG knows seen and unseen"),
    (("e2e", "e2e.csv", "two.txt", "--max-references", "-1"), "--max-references is -1; it must be 0 (all) or more"),
    (("webnlg", "seen.json", "two.txt", "--filter", "unseen"), "no input belongs to unseen categories"),
    (("dart", "seen.json", "two.txt"), "it must be a list of entries"),
])  # fmt: skip
def test_bad_input(file, tmp_path, capsys, arguments, message):
    file("e2e.csv", E2E)
    file("seen.json", {"entries": WEBNLG["entries"][:1]})
    file("two.txt", "\n".join(TEXTS))
    file("three.txt", "a\nb\nc\n")
    paths = [str(tmp_path / each) if "." in each else each for each in arguments[1:]]
    with pytest.raises(SystemExit) as stopped:
        main(["eval", "nlg", "--task", arguments[0], *paths])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("ginets eval nlg: error: ") and error.count("\n") == 1 and message in error

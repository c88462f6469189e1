"""Metrics of generated text: values by hand, naive forms on generated and real texts, what happens without Java."""

import math
import random
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from ginets.data.nlg import distinct, read_rows
from ginets.metrics.nlg import evaluate, text
from ginets.metrics.nlg.bleu import bleu, e2e_bleu
from ginets.metrics.nlg.chrf import chrf_plus_plus
from ginets.metrics.nlg.cider import cider
from ginets.metrics.nlg.java import coco_words
from ginets.metrics.nlg.meteor import meteor
from ginets.metrics.nlg.nist import nist
from ginets.metrics.nlg.rouge import rouge_l
from ginets.metrics.nlg.ter import edit_distance, sentence_ter, ter
from tests.reference import nlg as reference


pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
needs_java = pytest.mark.skipif(
    not (shutil.which("java") and find_spec("pycocoevalcap")), reason="no Java runtime, or no pycocoevalcap"
)
PREDICTIONS = ["The Mill is a pub in the city centre.", "", "A cheap 5-star café, £20 to £25!"]
REFERENCES = [
    ["The Mill is a pub near the city centre.", "In the city centre there is a pub, The Mill.", "The Mill is a pub."],
    ["There is nothing to say."],
    ["A café with 5 stars: £20-25.", "It is a cheap 5-star café for £20 to £25.", "Cheap café!"],
]
SIGNS = ["a", "B", "c", ",", ".", "3.5", "1,000", "x-y", "£20", '"q"', "don't", "é&amp;", "5-", "(d)", "cannot"]


def generated(seed: int, shortest: int = 0) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(seed)

    def sentence(least: int) -> str:
        return " ".join(rng.choices(SIGNS, k=rng.randint(least, 9)))

    items = range(rng.randint(1, 6))
    return [sentence(shortest) for _ in items], [[sentence(1) for _ in range(rng.randint(1, 4))] for _ in items]


# BLEU


def test_bleu_by_hand():
    # 7 words of "the mill is a pub near here", 6 in common, then 5 of 6, 4 of 5 and 3 of 4; 7 of 8 words
    value = bleu(["The mill is a pub near here"], [["the Mill is a pub near there now"]])
    assert value == pytest.approx((6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25 * math.exp(1 - 8 / 7))
    # of two references equally near in length, 6 and 8 words, the shorter one counts: no penalty
    shorter = bleu(["a b c d e f g"], [["a b c d e f g h", "a b c d x y"]])
    assert shorter == pytest.approx(1.0)
    assert bleu(["a b c"], [["a b c"]]) == bleu([""], [["a b c d"]]) == 0.0  # no 4-gram
    assert bleu(["a b c d e"], [["A B C D E"]]) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(25))
def test_bleu_is_that_of_the_naive_form(seed):
    predictions, references = generated(seed)
    for ours, e2e in ((bleu, False), (e2e_bleu, True)):
        assert ours(predictions, references) == pytest.approx(reference.bleu(predictions, references, e2e), abs=1e-8)


def test_the_two_differ_for_short_texts_only():
    predictions, references = generated(3, shortest=4)
    predictions += REFERENCES[0][:1]
    references += [REFERENCES[0]]
    assert e2e_bleu(predictions, references) == pytest.approx(bleu(predictions, references), rel=1e-9)
    predictions[0] = "a"
    assert e2e_bleu(predictions, references) != pytest.approx(bleu(predictions, references), rel=1e-3)


# NIST


def test_nist_by_hand():
    assert nist(["a b"], [["a b"]]) == 1.0  # log2(2/1) each, of 2 words; "a b" tells nothing new: log2(1/1)
    # all references: 6 words, a 4, b 1; "a a" 2, "a b" 1. In common: a twice, b, "a a", "a b"; not "a a b"
    value = nist(["a a b"], [["a b", "a a a c"]])
    assert value == pytest.approx((2 * math.log2(6 / 4) + math.log2(6)) / 3 + (math.log2(4 / 2) + math.log2(4)) / 2)
    # one word of three: penalty of 1/3; of two thirds: a half
    penalty = math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(1 / 3) ** 2)
    assert nist(["a"], [["a b c"]]) == pytest.approx(math.log2(3) * penalty)
    assert nist(["x y"], [["a b c", "d e f"]]) == nist([""], [["a"]]) == 0.0
    assert nist(["A b"], [["a b c"]]) == pytest.approx(0.5 * (math.log2(3) + 0))
    # a reference that is there twice counts twice: "b" is rarer then, "a" as frequent
    assert nist(["b"], [["a"] * 3 + ["b"]]) == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(25))
def test_nist_is_that_of_the_naive_form(seed):
    predictions, references = generated(seed)
    assert nist(predictions, references) == pytest.approx(reference.nist(predictions, references), abs=1e-12)


# TER


@pytest.mark.parametrize("words,wanted,value", [
    ("a b c", "a b c", 0),
    ("", "a b", 1),
    ("a b", "", 1),
    ("", "", 1),
    ("a b c d", "a", 3),  # may exceed 1
    ("b a", "a b", 1 / 2),  # one shift; without it two edits
    ("c d a b", "a b c d", 1 / 4),  # a run of two is one shift
    ("A b", "a b", 1 / 2),  # case counts: texts come in one form
    # two shifts, one word that is another, one that is missing: Snover et al.'s example, 4 of 13
    ("THIS WEEK THE SAUDIS denied information published in the new york times",
     "SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times", 4 / 13),
])  # fmt: skip
def test_ter_by_hand(words, wanted, value):
    assert sentence_ter(words.split(), wanted.split()) == pytest.approx(value)


def test_ter_is_the_mean_of_the_best():
    predictions, references = ["a b", "c"], [["x y", "a z", "a z"], ["c d d d"]]
    assert ter(predictions, references) == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_ter_and_distance_are_those_of_the_naive_form():
    rng = random.Random(0)
    for _ in range(400):
        signs = "abcdefgh"[: rng.randint(2, 8)]
        words, wanted = (rng.choices(signs, k=rng.randint(least, 11)) for least in (0, 1))
        assert edit_distance(wanted)(words) == reference.distance(words, wanted)
        assert sentence_ter(words, wanted) == reference.sentence_ter(words, wanted)


# chrF++


@pytest.mark.parametrize("seed", range(10))
def test_chrf_is_that_of_the_naive_form(seed):
    predictions, references = generated(seed, shortest=3)
    assert chrf_plus_plus(predictions, references) == pytest.approx(reference.chrf(predictions, references), abs=1e-12)


def test_chrf_by_hand():
    assert chrf_plus_plus(["abcdefg hij"], [["x", "abcdefg hij"]]) == pytest.approx(1.0)
    # "ab" and "ac": 1 of 2 characters on both sides; nothing else, of 8 orders
    assert chrf_plus_plus(["ab"], [["ac"]]) == pytest.approx(0.5 / 8)
    assert chrf_plus_plus([""], [["ac"]]) == pytest.approx(0)
    # the best reference of each sentence: 2 of 3 characters and 1 of 2 pairs, not the 1 of 3
    assert chrf_plus_plus(["abc"], [["cde", "abe"]]) == pytest.approx((2 / 3 + 1 / 2) / 8)


# forms of the texts


@pytest.mark.parametrize("raw,words", [
    ("It's 3.5-star, e.g. £1,000.", ["it's", "3.5", "-", "star", ",", "e", ".", "g", ".", "£1,000", "."]),
    ("A & B &amp; <C>", ["a", "&", "b", "&", "<", "c", ">"]),
    ("well-known\u00a0Café\u2028x", ["well-known", "café", "x"]),
    ("", [""]),
])  # fmt: skip
def test_mteval_words(raw, words):
    assert text.mteval_words(raw) == words == reference.mteval_words(raw)


@pytest.mark.parametrize("raw,words,treebank", [
    ('Don\'t say "No".', 'don \' t say " no " .', "don ' t say `` no `` ."),
    ("I cannot; GONNA_x wanna", "i cannot ; gonna_x wanna", "i can not ; gonna_x wan na"),
    ("Zürich\u00a0–\u00a0東京 3.5", "zürich – 東京 3 . 5", "zürich – 東京 3 . 5"),
    (" \t ", "", ""),
])  # fmt: skip
def test_words_and_treebank(raw, words, treebank):
    assert (text.words([raw]), text.treebank([raw])) == ([words], [treebank])


def test_treebank_is_what_nltk_makes_of_words(data_dir):
    nltk = pytest.importorskip("nltk.tokenize.destructive", reason="nltk is not installed")
    rows = read_rows("dart", data_dir / "nlg" / "dart" / "test.json")[:4000]
    texts = [row["reference"] for row in rows] + ["I cannot, gimme, gonna, gotta, lemme 'n \"wanna\" 'tis d'ye more'n"]
    tokenizer = nltk.NLTKWordTokenizer()
    assert text.treebank(texts) == [" ".join(tokenizer.tokenize(each)) for each in text.words(texts)]


# all figures of a task


@pytest.fixture
def no_java(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)


def test_without_java_the_others_are_there(no_java):
    figures, refused = evaluate("e2e", PREDICTIONS, REFERENCES)
    assert list(figures) == ["BLEU", "NIST"] and list(refused) == ["METEOR", "ROUGE_L", "CIDEr"]
    assert all("needs a Java runtime" in reason for reason in refused.values())
    for task in ("webnlg", "dart"):
        figures, refused = evaluate(task, PREDICTIONS, REFERENCES)
        assert list(figures) == ["BLEU", "TER", "chrF++"] and list(refused) == ["METEOR"]


def test_without_a_package_its_figures_are_refused(no_java, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics", None)
    figures, refused = evaluate("webnlg", PREDICTIONS, REFERENCES)
    assert list(figures) == ["TER"] and "sacrebleu" in refused["BLEU"] and "sacrebleu" in refused["chrF++"]


def test_forms_and_scales(no_java):
    figures, _ = evaluate("e2e", PREDICTIONS, REFERENCES)
    assert figures["BLEU"] == e2e_bleu(PREDICTIONS, REFERENCES)
    figures, _ = evaluate("webnlg", PREDICTIONS, REFERENCES)
    lower = [text.words(texts) for texts in REFERENCES]
    assert figures["BLEU"] == pytest.approx(100 * reference.bleu(text.words(PREDICTIONS), lower))
    rates = [
        min(reference.sentence_ter(ours.split(), each.split()) for each in texts)
        for ours, texts in zip(text.treebank(PREDICTIONS), map(text.treebank, REFERENCES), strict=True)
    ]
    assert figures["TER"] == pytest.approx(sum(rates) / 3)
    # several lines are one
    split = [each.replace(" ", "\n", 1) for each in PREDICTIONS]
    assert evaluate("webnlg", split, REFERENCES)[0] == figures


def test_references_that_repeat_or_are_too_many(no_java):
    figures, _ = evaluate("webnlg", PREDICTIONS, REFERENCES)
    padded = [texts + texts[:1] * (6 - len(texts)) for texts in REFERENCES]  # as LoRA's decoding fills its six files
    assert evaluate("webnlg", PREDICTIONS, padded)[0] == pytest.approx(figures)
    seventh = [texts + PREDICTIONS[i : i + 1] for i, texts in enumerate(padded)]
    assert evaluate("webnlg", PREDICTIONS, seventh)[0] == pytest.approx(figures)
    assert evaluate("webnlg", PREDICTIONS, seventh, max_references=0)[0]["TER"] < figures["TER"]
    assert evaluate("e2e", PREDICTIONS, seventh)[0] != evaluate("e2e", PREDICTIONS, seventh, max_references=6)[0]


@pytest.mark.parametrize("arguments,message", [
    (("poetry", ["a"], [["a"]]), "task is 'poetry'; choose from e2e, webnlg, dart"),
    (("e2e", ["a"], [["a"], ["b"]]), "1 predictions for 2 items"),
    (("e2e", [], []), "0 predictions for 0 items"),
    (("dart", ["a", "b"], [["a"], []]), "item 1 has no reference"),
    (("dart", ["a"], [["a", "b"]], -1), "max_references is -1; it must be 0"),
])  # fmt: skip
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*arguments)


# what runs in Java


@needs_java
def test_coco_words():
    """Brackets stay, as the list of what goes has them in capitals; "|||", which parts METEOR's input, cannot occur."""
    raw = ['Café "Brazil" (£20-25), it\'s OK...', "", "a\tb", "...", "1 1/2 x ||| y"]
    assert coco_words(raw) == ["café brazil -lrb- # 20-25 -rrb- it 's ok", "", "a b", "", "1\u00a01/2 x | | | y"]


@needs_java
def test_rouge_and_cider_by_hand():
    # 2 of 3 words in order with "a c" (all of it), 1 of 3 with "c d e f": the largest of both kinds count
    precision, recall = 2 / 3, 2 / 2
    value = rouge_l(["a b c"], [["a c", "c d e f"]])
    assert value == pytest.approx((1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision))
    assert rouge_l(["x"], [["a"]]) == 0.0
    # equal texts whose n-grams no other item has: 10; a second reference without anything in common: half of it
    assert cider(["a b c d", "e f g h"], [["a b c d"], ["e f g h"]]) == pytest.approx(10)
    assert cider(["a b c d", "e f g h"], [["a b c d", "i j k l"], ["e f g h"]]) == pytest.approx(7.5)


@needs_java
def test_meteor_is_that_of_the_jar_with_files(tmp_path):
    """A way of its own through the jar: references padded to one number, in files, as WebNLG's script calls it."""
    predictions, references = text.treebank(PREDICTIONS), [text.treebank(texts) for texts in REFERENCES]
    padded = [(texts + texts[:1] * 3)[:3] for texts in references]
    (tmp_path / "hyp").write_text("\n".join(predictions), encoding="utf-8")
    (tmp_path / "ref").write_text("\n".join(each for texts in padded for each in texts), encoding="utf-8")
    jar = Path(find_spec("pycocoevalcap.meteor.meteor").origin).with_name("meteor-1.5.jar")
    command = ["java", "-Xmx2G", "-jar", str(jar), "hyp", "ref", "-l", "en", "-norm", "-r", "3"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    value = meteor(predictions, references)
    assert value == pytest.approx(float(printed.split()[-1]), abs=1e-9) and 0.2 < value < 0.9


# real texts


def noisy(items, seed: int) -> list[str]:
    """One reference of each, with words dropped, doubled and moved."""
    rng = random.Random(seed)
    predictions = []
    for item in items:
        words = [word for word in rng.choice(item.references).split() for _ in range(rng.choice([0] + [1] * 12 + [2]))]
        cut = rng.randrange(len(words) + 1)
        predictions.append(" ".join(words[cut:] + words[:cut] if rng.random() < 0.3 else words))
    return predictions


def test_on_real_texts(data_dir, no_java):
    items = distinct(read_rows("e2e", data_dir / "nlg" / "e2e" / "test.csv"))[::105]
    predictions, references = noisy(items, seed=1), [item.references for item in items]
    figures, _ = evaluate("e2e", predictions, references)
    naive = {
        "BLEU": reference.bleu(predictions, references, e2e=True),
        "NIST": reference.nist(predictions, references),
    }
    assert len(items) == 6 and figures == pytest.approx(naive, abs=1e-9)
    items = distinct(read_rows("webnlg", data_dir / "nlg" / "webnlg" / "test.json"))[::186]
    predictions, references = noisy(items, seed=2), [item.references for item in items]
    figures, _ = evaluate("webnlg", predictions, references)
    predictions, references = text.words(predictions), [text.words(list(texts[:6])) for texts in references]
    naive = {"BLEU": 100 * reference.bleu(predictions, references), "chrF++": reference.chrf(predictions, references)}
    assert {name: figures[name] for name in naive} == pytest.approx(naive, abs=1e-9)

"""Official figures against values computed by hand; answers from logits against the loop that defines them."""

import json

import numpy as np
import pytest
from datasets import Dataset

from ginets.data.squad import load_files
from ginets.data.squad_features import build_features
from ginets.metrics.squad import evaluate_v1, evaluate_v2, normalize_answer
from ginets.metrics.squad_answers import read_answers
from tests.data.test_squad_features import words
from tests.reference import squad as reference


@pytest.mark.parametrize("text,form", [
    ("The  Cat, the DOG and a mouse.", "cat dog and mouse"),
    ("An a the THE", ""),
    ("theatre another banana", "theatre another banana"),
    ("U.S.A.", "usa"),
    ("a-b", "ab"),  # punctuation goes before articles are looked for
    ("the-cat", "thecat"),
    ("“the” «a»", "“ ” « »"),  # only ASCII punctuation goes, but articles do between any signs
    ("l’a b", "l’ b"),
    ("thé a̋", "thé ̋"),  # a combining accent ends a word, as far as the official rule knows
    ("ÉCOLE\u00a0\tStraße İ", "école straße i̇"),
    ("$1,000.50 (50%)", "100050 50"),
    ("…", "…"),
    ("!?", ""),
])  # fmt: skip
def test_normal_form(text, form):
    assert normalize_answer(text) == form


# golds, prediction → exact, F1 of SQuAD 1.1, F1 of SQuAD 2.0
CASES = [
    (["the Eiffel Tower"], "Eiffel tower!", 1, 1, 1),
    (["Eiffel Tower"], "tower in Paris", 0, 2 / 5, 2 / 5),  # 1 of 3 and 1 of 2
    (["Paris", "in Paris, France"], "Paris France", 0, 4 / 5, 4 / 5),  # 2/3 with the first, 4/5 with the second
    (["x", "x", "y"], "Y", 1, 1, 1),  # golds that repeat change nothing
    (["a b b c"], "b b b d", 0, 4 / 7, 4 / 7),  # two b count: 2 of 4 and 2 of 3, as "a" is an article
    (["Zürich"], "Zu\u0308rich", 0, 0, 0),  # no Unicode normalisation
    (["1,000"], "1000", 1, 1, 1),
    (["the"], "an", 1, 0, 1),  # nothing is left of either
    (["the"], "", 1, 0, 1),
    (["the", "cat"], "", 1, 0, 0),  # 2.0 leaves the empty gold out: see the exact match below
    (["the", "cat"], "cat", 1, 1, 1),
    (["cat"], "", 0, 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("golds,prediction,exact,f1_v1,f1_v2", CASES)
def test_one_question(golds, prediction, exact, f1_v1, f1_v2):
    assert evaluate_v1({"q": golds}, {"q": prediction}) == pytest.approx(
        {"exact_match": 100 * exact, "f1": 100 * f1_v1}
    )
    exact_v2 = 0 if (golds, prediction) == (["the", "cat"], "") else exact
    figures = evaluate_v2({"q": golds}, {"q": prediction})
    expected = {"exact": 100 * exact_v2, "f1": 100 * f1_v2, "total": 1}
    assert figures == pytest.approx(expected | {f"HasAns_{key}": value for key, value in expected.items()})


def test_digits_are_those_of_the_definition():
    """Sums in the order of the data, each quotient as the definition has it: no rounding differs."""
    golds = {"1": ["a b c d e f g"], "2": ["one two three"], "3": ["x"]}
    predictions = {"3": "x", "2": "two", "1": "b c q"}
    p, r = 2 / 3, 2 / 6  # "a" is an article
    first, second = 2 * p * r / (p + r), 2 * 1.0 * (1 / 3) / (1.0 + 1 / 3)
    expected = 100.0 * (first + second + 1.0) / 3
    assert evaluate_v1(golds, predictions) == {"exact_match": 100.0 * 1 / 3, "f1": expected}
    assert evaluate_v2(golds, predictions)["f1"] == expected


GOLDS = {"q1": ["cat"], "q2": [], "q3": ["the red dog"], "q4": [], "q5": ["fish"]}
PREDICTIONS = {"q1": "Cat", "q2": "mouse", "q3": "dog", "q4": "", "q5": "bird"}


def test_answerable_and_not():
    f1 = 2 / 3  # "dog" of "red dog": 1 of 1 and 1 of 2
    assert evaluate_v2(GOLDS, PREDICTIONS) == {
        "exact": 100.0 * 2 / 5,
        "f1": 100.0 * (1 + 0 + 2 * 1.0 * 0.5 / 1.5 + 1 + 0) / 5,
        "total": 5,
        "HasAns_exact": 100.0 * 1 / 3,
        "HasAns_f1": pytest.approx(100 * (1 + f1) / 3, abs=1e-12),
        "HasAns_total": 3,
        "NoAns_exact": 50.0,
        "NoAns_f1": 50.0,
        "NoAns_total": 2,
    }


def test_best_thresholds_by_hand():
    """From 2 (both unanswerable ones right): q5 +0, q1 +1 = 3, q4 +0, q3 +0 exact, +2/3 F1 = 3.67, q2 −1."""
    na_probs = {"q1": 0.2, "q2": 7.0, "q3": 0.5, "q4": 0.3, "q5": -3.0}
    figures = evaluate_v2(GOLDS, PREDICTIONS, na_probs, na_prob_thresh=10)
    assert list(figures)[-4:] == ["best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh"]
    assert (figures["best_exact"], figures["best_exact_thresh"]) == (60.0, 0.2)
    assert (figures["best_f1"], figures["best_f1_thresh"]) == (pytest.approx(100 * (3 + 2 / 3) / 5), 0.5)
    # where answering never pays, nothing is answered and the threshold stays 0.0
    nothing = evaluate_v2({"q2": [], "q5": ["fish"]}, PREDICTIONS, na_probs)
    assert (nothing["best_exact"], nothing["best_exact_thresh"]) == (50.0, 0.0)


def test_ties_of_the_sweep_go_by_the_order_of_the_scores():
    """The sweep stops between equal scores, too: their order in the file decides."""
    golds, predictions = {"no": [], "yes": ["x"]}, {"no": "y", "yes": "x"}
    best = {
        order: evaluate_v2(golds, predictions, dict.fromkeys(order, 0.5))["best_exact"]
        for order in [("no", "yes"), ("yes", "no")]
    }
    assert best == {("no", "yes"): 50.0, ("yes", "no"): 100.0}


def test_blanking_by_threshold():
    na_probs = {"q1": 0.2, "q2": 7.0, "q3": 0.5, "q4": 0.3, "q5": 1.0}
    figures = evaluate_v2(GOLDS, PREDICTIONS, na_probs)  # more than 1.0: q2 alone
    assert (figures["exact"], figures["NoAns_exact"], figures["HasAns_exact"]) == (60.0, 100.0, 100.0 / 3)
    figures = evaluate_v2(GOLDS, PREDICTIONS, na_probs, na_prob_thresh=0.1)  # all
    assert (figures["exact"], figures["NoAns_exact"], figures["HasAns_exact"]) == (40.0, 100.0, 0.0)
    # the search looks at the scores before any blanking
    assert figures["best_exact"] == 60.0


def test_missing_and_additional_ids(caplog):
    some = {"q1": "cat", "other": "fish"}
    golds = {"q1": ["cat"], "q5": ["fish"]}
    assert evaluate_v1(golds, some) == {"exact_match": 50.0, "f1": 50.0}
    assert "1 of 2 questions have no prediction" in caplog.text
    with pytest.raises(ValueError, match=r"1 of 2 questions have no prediction, e\.g\. 'q5'"):
        evaluate_v2(golds, some)
    with pytest.raises(ValueError, match=r"1 of 5 questions have no no-answer probability, e\.g\. 'q5'"):
        evaluate_v2(GOLDS, PREDICTIONS, dict.fromkeys(["q1", "q2", "q3", "q4", "other"], 0))
    with pytest.raises(ValueError, match="question 'q2' has no gold answer"):
        evaluate_v1(GOLDS, PREDICTIONS)
    for evaluate in (evaluate_v1, evaluate_v2):
        with pytest.raises(ValueError, match="no questions"):
            evaluate({}, PREDICTIONS)


SIGNS = "abcdefgh"


@pytest.fixture(scope="module")
def windows():
    """Questions on generated contexts of every length from none to several windows, and their windows."""
    rng = np.random.default_rng(0)
    contexts = ["  ".join(rng.choice(list(SIGNS), size)) for size in (0, 1, 5, 14, 30, 41, 60)]
    contexts += ["  ".join(rng.choice(list(SIGNS), size)) for size in rng.integers(1, 60, 25)]
    examples = Dataset.from_dict({
        "id": [f"q{i}" for i in range(len(contexts))], "context": contexts, "question": ["a b ?"] * len(contexts)
    })  # fmt: skip
    tokenizer = words(cls_token="[CLS]")
    return examples, build_features(examples, tokenizer, max_seq_length=24, doc_stride=6, characters=True)


def peaked(features, dtype, decimals: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits as a trained head gives them: a hill around one place, ties by rounding; -100 where nothing is."""
    rng, lengths = np.random.default_rng(seed), np.array(features["length"])
    at = np.arange(lengths.max() + 4)
    logits = []
    for shift in (0, 2):
        tops = (rng.random(len(lengths)) * lengths).astype(int) + shift
        hills = 6 - abs(at - tops[:, None]) + rng.normal(0, 1, (len(lengths), len(at)))
        hills[:, 0] += rng.normal(3, 4, len(lengths))
        logits.append(np.where(at < lengths[:, None], hills.round(decimals), -100).astype(dtype))
    return tuple(logits)


@pytest.mark.parametrize("dtype,decimals", [("float32", 6), ("float32", 0), ("float16", 1), ("float64", 6)])
@pytest.mark.parametrize("options", [
    (False, 20, 30, 0.0), (True, 20, 30, 0.0), (True, 20, 30, -1.5), (True, 3, 4, 2.0), (True, 1, 1, 0.0),
    (False, 2, 1, 0.0), (True, 100, 100, 0.0),
])  # fmt: skip
def test_answers_are_those_of_the_loop(windows, options, dtype, decimals):
    examples, features = windows
    logits = peaked(features, dtype, decimals, seed=1)
    answers = read_answers(examples, features, logits, *options)
    predictions, nbest, odds = reference.read_answers(examples, list(features), logits, *options)
    assert (answers.predictions, answers.null_odds) == (predictions, odds)
    assert answers.nbest_predictions == nbest


def test_files_are_what_json_writes(windows, tmp_path):
    examples, features = windows
    examples = examples.map(lambda row: {"id": f'"ü{row["id"]}\n', "context": row["context"].replace("a", "\\")})
    answers = read_answers(examples, features, peaked(features, "float32", 6, seed=4), version_2_with_negative=True)
    for path in answers.save(tmp_path):
        assert path.read_text() == json.dumps(getattr(answers, path.stem), indent=4) + "\n"


def test_chunks_change_nothing(windows, monkeypatch):
    examples, features = windows
    logits = peaked(features, "float32", 1, seed=2)
    whole = read_answers(examples, features, logits, version_2_with_negative=True)
    monkeypatch.setattr("ginets.metrics.squad_answers.CHUNK", 5)
    assert read_answers(examples, features, logits, version_2_with_negative=True) == whole


def test_by_hand(windows, tmp_path):
    """One window, two candidates above the rest: texts, probabilities, odds, and the files."""
    examples, features = windows
    examples, features = examples.select([2]), features.filter(lambda row: row["example"] == 2)
    features = features.map(lambda row: {"example": 0})
    context = examples[0]["context"]  # five words, two spaces between them; tokens 5 to 9
    start, end = np.full((2, 1, 24), -20.0, "float32")
    start[0, [0, 5, 6]], end[0, [0, 6, 8]] = [1.0, 4.0, 2.0], [0.5, 3.0, 1.0]
    answers = read_answers(examples, features, (start, end), True, n_best_size=4, max_answer_length=3)
    best = answers.nbest_predictions["q2"]
    assert [entry["text"] for entry in best[:4]] == [context[0:4], context[3:4], context[3:10], ""]
    assert [entry["start_logit"] + entry["end_logit"] for entry in best] == [7.0, 5.0, 3.0, 1.5]
    powers = np.exp(np.array([7.0, 5.0, 3.0, 1.5]) - 7)
    assert [entry["probability"] for entry in best] == pytest.approx(powers / powers.sum(), rel=1e-6)
    assert (answers.null_odds, answers.predictions) == ({"q2": -5.5}, {"q2": context[0:4]})
    strict = read_answers(examples, features, (start, end), True, null_score_diff_threshold=-6.0)
    assert (strict.predictions, strict.spans) == ({"q2": ""}, {"q2": context[0:4]})
    written = answers.save(tmp_path, "eval")
    assert [path.name for path in written] == [
        "eval_predictions.json",
        "eval_nbest_predictions.json",
        "eval_null_odds.json",
    ]
    assert [json.loads(path.read_text()) for path in written] == [
        answers.predictions, answers.nbest_predictions, answers.null_odds
    ]  # fmt: skip
    assert len(read_answers(examples, features, (start, end)).save(tmp_path)) == 2


def test_what_does_not_belong_together_is_refused(windows):
    examples, features = windows
    start, end = peaked(features, "float32", 3, seed=3)
    for logits, message in (
        ((start[1:], end[1:]), "both must be"),
        ((start, end[:, 1:]), "both must be"),
        ((start,), "both must be"),
        ((start[:, :9], end[:, :9]), "logits have 9 columns; the contexts of these features reach 23"),
    ):
        with pytest.raises(ValueError, match=message):
            read_answers(examples, features, logits)
    with pytest.raises(ValueError, match="features are of 32 questions, the examples are 31"):
        read_answers(examples.select(range(31)), features, (start, end))
    with pytest.raises(ValueError, match="n_best_size is 0"):
        read_answers(examples, features, (start, end), n_best_size=0)


def test_the_true_positions_score_full_marks(data_dir):
    """From real text to the figures and back: a head that knows the labels answers everything right."""
    from transformers import AutoTokenizer

    path = str(data_dir / "squad" / "v2.0" / "dev.json")
    examples = load_files({"x": path}, ["x"])["x"].select(range(300))
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizers" / "bert-cased")
    features = build_features(examples, tokenizer, max_seq_length=200, doc_stride=64, labels=True, characters=True)
    width, rows = max(features["length"]), np.arange(len(features))
    start, end = np.zeros((2, len(features), width), "float32")
    start[rows, features["start_positions"]] = end[rows, features["end_positions"]] = 9
    # a window without the answer must not speak for "no answer" louder than the one with it
    answers = read_answers(examples, features, (start, end), version_2_with_negative=True)
    golds = dict(zip(examples["id"], (each["text"] for each in examples["answers"]), strict=True))
    figures = evaluate_v2(golds, answers.predictions, answers.null_odds, na_prob_thresh=0.0)
    assert figures["exact"] == figures["f1"] == figures["NoAns_exact"] == 100.0

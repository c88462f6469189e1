"""The official figures of SQuAD 1.1 and 2.0, from their definition, equal to the last digit.

Two answers are compared in a normal form: lower case, no ASCII punctuation, no articles (a, an, the), single spaces.
*Exact* asks whether the forms are equal, *F1* how far their bags of words overlap; the best gold answer counts.

The two versions differ where something is empty or missing:

| | 1.1 | 2.0 |
|---|---|---|
| no prediction for a question | scores 0 | an error |
| F1 of two empty forms | 0 | 1 |
| gold answers with an empty form | count | are left out; where none is left, the empty answer is right |
"""

import logging
import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence


logger = logging.getLogger(__name__)

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def normalize_answer(text: str) -> str:
    """The form in which answers are compared."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(NO_PUNCTUATION)).split())


def overlap_f1(gold: Sequence[str], prediction: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of two bags of words; 0 if they share none."""
    shared = (Counter(gold) & Counter(prediction)).total()
    if not shared:
        return 0
    precision, recall = shared / len(prediction), shared / len(gold)
    return (2 * precision * recall) / (precision + recall)


def evaluate_v1(golds: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> dict[str, float]:
    """The figures of SQuAD 1.1, in percent.

    Args:
        golds: question id → texts of its gold answers, at least one.
        predictions: question id → answer. Ids that are not in `golds` do not count.

    Returns:
        `exact_match` and `f1`.

    Raises:
        ValueError: no questions, or a question without gold answers.
    """
    _check_questions(golds)
    if bare := [name for name, texts in golds.items() if not texts]:
        raise ValueError(f"question {bare[0]!r} has no gold answer; SQuAD 1.1 has none such, score it as 2.0.")
    if missing := golds.keys() - predictions.keys():
        logger.warning("%d of %d questions have no prediction; they score 0.", len(missing), len(golds))
    exact = f1 = 0
    for name, texts in golds.items():
        if name in predictions:
            answer = normalize_answer(predictions[name])
            forms = [normalize_answer(text) for text in texts]
            exact += answer in forms
            f1 += max(overlap_f1(form.split(), answer.split()) for form in forms)
    return {"exact_match": 100.0 * exact / len(golds), "f1": 100.0 * f1 / len(golds)}


def evaluate_v2(
    golds: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    na_probs: Mapping[str, float] | None = None,
    na_prob_thresh: float = 1.0,
) -> dict[str, float]:
    """The figures of SQuAD 2.0, in percent.

    Args:
        golds: question id → texts of its gold answers, none for an unanswerable question.
        predictions: question id → answer, "" for none. Ids that are not in `golds` do not count.
        na_probs: question id → how likely it is that there is no answer, a probability or any other score, e.g. the
            null odds. With it comes the search for the best threshold; between equal scores its order counts.
        na_prob_thresh: questions with a larger `na_probs` count as predicted to have no answer.

    Returns:
        `exact`, `f1`, `total`; the same with `HasAns_` and `NoAns_` where there are such questions; with `na_probs`
        `best_exact`, `best_exact_thresh`, `best_f1`, `best_f1_thresh`: the best figures that any one threshold gives
        on this very data (so no estimate for other data), and the threshold. It can only take predictions away: for a
        full search, `predictions` are those of `Answers.spans`, which no threshold has blanked yet.

    Raises:
        ValueError: no questions, or one without prediction or `na_probs`.
    """
    _check_questions(golds)
    for what, given in (("prediction", predictions), ("no-answer probability", na_probs)):
        if given is not None and (missing := [name for name in golds if name not in given]):
            raise ValueError(
                f"{len(missing)} of {len(golds)} questions have no {what}, e.g. {missing[0]!r}; "
                "SQuAD 2.0 is defined for complete predictions only."
            )
    scores = {name: _score_v2(texts, predictions[name]) for name, texts in golds.items()}
    groups = {
        "": list(golds),
        "HasAns_": [name for name, texts in golds.items() if texts],
        "NoAns_": [name for name, texts in golds.items() if not texts],
    }
    blanked = {name for name in golds if na_probs is not None and na_probs[name] > na_prob_thresh}
    final = {name: (float(not golds[name]),) * 2 if name in blanked else scores[name] for name in golds}
    figures = {}
    for prefix, names in groups.items():
        if names:
            for key, column in (("exact", 0), ("f1", 1)):
                figures[prefix + key] = 100.0 * sum(final[name][column] for name in names) / len(names)
            figures[f"{prefix}total"] = len(names)
    if na_probs is not None:
        for key, column in (("exact", 0), ("f1", 1)):
            column_scores = {name: score[column] for name, score in scores.items()}
            best, threshold = _best_threshold(golds, predictions, column_scores, na_probs)
            figures |= {f"best_{key}": best, f"best_{key}_thresh": threshold}
    return figures


def _score_v2(texts: Sequence[str], prediction: str) -> tuple[int, float]:
    """Exact and F1 of one question."""
    answer = normalize_answer(prediction)
    forms = [form for form in map(normalize_answer, texts) if form] or [""]
    f1s = (overlap_f1(form.split(), answer.split()) if form and answer else int(form == answer) for form in forms)
    return int(answer in forms), max(f1s)


def _best_threshold(
    golds: Mapping[str, Sequence[str]],
    predictions: Mapping[str, str],
    scores: Mapping[str, float],
    na_probs: Mapping[str, float],
) -> tuple[float, float]:
    """The best mean score over thresholds, and the lowest threshold that reaches it.

    From "nothing is answered" on, questions are answered one by one, the surest first: a right answer adds its score,
    an answer to an unanswerable question costs the point it had. It is added up in this order, and a new best must be
    larger, as the last digits and ties of the official figures depend on both.
    """
    current = best = sum(not texts for texts in golds.values())
    threshold = 0.0
    for name in sorted(na_probs, key=na_probs.__getitem__):
        if name in scores:
            current += scores[name] if golds[name] else -bool(predictions[name])
            if current > best:
                best, threshold = current, na_probs[name]
    return 100.0 * best / len(scores), threshold


def _check_questions(golds: Iterable):
    if not golds:
        raise ValueError("there are no questions to score.")

"""Figures of E2E, WebNLG and DART, equal to those of the scripts that the literature uses.

| task | figures | texts are compared | as in |
|---|---|---|---|
| e2e | BLEU, NIST | mteval-v13a words, any case | `measure_scores.py -p` |
| e2e | METEOR, ROUGE_L, CIDEr | PTB words, lower-cased, without punctuation | `measure_scores.py` |
| webnlg, dart | BLEU, chrF++ | lower-cased, split at non-word characters | LoRA's decoding, then GenerationEval |
| webnlg, dart | METEOR, TER | the same, then nltk's word_tokenize | LoRA's decoding, then GenerationEval |

Every metric takes predictions and the references of each of them, so a number of references of its own.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, chain, pairwise
from typing import NamedTuple

from . import text
from .bleu import bleu, e2e_bleu
from .chrf import chrf_plus_plus
from .cider import cider
from .java import Unavailable, coco_words
from .meteor import meteor
from .nist import nist
from .rouge import rouge_l
from .ter import ter


class Metric(NamedTuple):
    """How a figure is computed: on which form of the texts, by what, and times what it is printed."""

    form: Callable[[list[str]], list[str]]
    compute: Callable[[Sequence[str], Sequence[Sequence[str]]], float]
    scale: float = 1


E2E = {
    "BLEU": Metric(text.plain, e2e_bleu),
    "NIST": Metric(text.plain, nist),
    "METEOR": Metric(coco_words, meteor),
    "ROUGE_L": Metric(coco_words, rouge_l),
    "CIDEr": Metric(coco_words, cider),
}
WEBNLG = {
    "BLEU": Metric(text.words, bleu, 100),
    "METEOR": Metric(text.treebank, meteor),
    "TER": Metric(text.treebank, ter),
    "chrF++": Metric(text.words, chrf_plus_plus),
}
# task → its figures, and how many references of an item count (LoRA's decoding writes six files; None for all)
TASKS = {"e2e": (E2E, None), "webnlg": (WEBNLG, 6), "dart": (WEBNLG, 6)}


def evaluate(
    task: str, predictions: Sequence[str], references: Sequence[Sequence[str]], max_references: int | None = None
) -> tuple[dict[str, float], dict[str, str]]:
    """The figures of a task.

    Args:
        task: `e2e`, `webnlg` or `dart`.
        predictions: one text per item; an empty one counts as such.
        references: one or more texts per item.
        max_references: how many of an item count, from the first; by default as published, 0 for all.

    Returns:
        Figures by name, on the scale of the official script; and those that cannot be computed here, with the reason.

    Raises:
        ValueError: an unknown task, no items, an item without references, or `max_references` below 0.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}; choose from {', '.join(TASKS)}.")
    if not predictions or len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} items; there must be one for each.")
    if bare := [number for number, texts in enumerate(references) if not texts]:
        raise ValueError(f"item {bare[0]} has no reference.")
    if (max_references or 0) < 0:
        raise ValueError(f"max_references is {max_references}; it must be 0 (all) or more.")
    metrics, published = TASKS[task]
    limit = (published if max_references is None else max_references) or None
    references = [list(texts)[:limit] for texts in references]
    figures, refused, forms = {}, {}, {}
    for name, metric in metrics.items():
        try:
            if metric.form not in forms:
                forms[metric.form] = _in_form(metric.form, list(predictions), references)
            figures[name] = metric.scale * metric.compute(*forms[metric.form])
        except (Unavailable, ImportError) as error:
            refused[name] = str(error)
    return figures, refused


def _in_form(form: Callable, predictions: list[str], references: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Predictions and references in the form, all of them at one go."""
    texts = form(text.plain([*predictions, *chain.from_iterable(references)]))
    ends = list(accumulate(map(len, references), initial=len(predictions)))
    return texts[: len(predictions)], [texts[start:end] for start, end in pairwise(ends)]

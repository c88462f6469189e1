"""How much attention goes to relevant and to irrelevant words, per layer, over many passages, with intervals.

For a query token i, head h and layer l the weights a(l, h, i, ·) over the tokens that can be looked at sum to 1. They
are summed by the role of the key: relevant context, irrelevant context, question, special; then averaged over the
query tokens, the heads and the passages. Special tokens and padding are no queries.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from ..data.relevant import IRRELEVANT, QUESTION, RELEVANT, ROLES, SPECIAL, Marked, Passage
from ..data.squad_features import SpanCollator
from ..metrics.bootstrap import interval, resampled_means
from .attention import attention_weights, base_of, returning_weights


QUERIES = ("all", "question")  # which tokens look: all of question and context, or those of the question
PADDING = -1
MEMORY = 2**28  # bytes of attention weights that are held at a time, if one passage does not need more
MEAN = "mean"  # in place of a layer: the mean over the layers

# what is averaged over passages: the four masses, and those of the context divided by the number of its tokens
FEATURES = (*ROLES, "relevant_per_token", "irrelevant_per_token")
FIGURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: lambda means, at=at: means[..., at] for at, name in enumerate(FEATURES)},
    # mean weight on a relevant token / mean weight on an irrelevant one
    "density_ratio": lambda means: means[..., 4] / means[..., 5],
    # of what the context gets, the part that relevant words get
    "relevant_share": lambda means: means[..., 0] / (means[..., 0] + means[..., 1]),
}


def masses(weights: torch.Tensor, roles: torch.Tensor) -> torch.Tensor:
    """The attention mass by role of the key, averaged over heads and query tokens.

    Args:
        weights: `(batch, heads, T, T)`, rows are queries.
        roles: `(batch, T)`, indices of `ROLES`, -1 for padding.

    Returns:
        `(batch, len(QUERIES), len(ROLES))`; the last axis sums to 1. NaN where no token looks.
    """
    keys = F.one_hot(roles.clamp(min=0).long(), len(ROLES)) * (roles != PADDING)[..., None]
    by_role = weights.float().mean(1) @ keys.float()
    of_question = roles == QUESTION
    queries = torch.stack([(roles != PADDING) & (roles != SPECIAL), of_question], 1).float()
    return queries @ by_role / queries.sum(-1, keepdim=True)


def measure(model, tokenizer, passages: Mapping[str, Marked], recorder=None) -> dict[str, np.ndarray]:
    """The masses of each passage, `(layers, len(QUERIES), len(ROLES))`, in batches of bounded memory.

    Args:
        model: any that `attention_weights` takes.
        recorder: a `gates.GateRecorder` that watches `model`; it is told which tokens are padding.
    """
    takes = inspect.signature(base_of(model).forward).parameters
    device = next(model.parameters()).device
    measured = {}
    with returning_weights(model):
        for names, inputs, roles in _batches(passages, tokenizer, base_of(model).config):
            if recorder:
                recorder.real = (roles != PADDING).to(device)
            given = {name: tensor.to(device) for name, tensor in inputs.items() if name in takes}
            layers = [masses(weights, roles.to(device)).cpu() for weights in attention_weights(model, **given)]
            measured |= zip(names, torch.stack(layers, 1).numpy(), strict=True)
    return measured


def _batches(passages: Mapping[str, Marked], tokenizer, config) -> Iterator[tuple[list[str], dict, torch.Tensor]]:
    """Ids, model inputs and roles, long passages first; as many at a time as `MEMORY` allows."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    collate = SpanCollator(tokenizer)
    text = config.get_text_config()
    rest = sorted(passages, key=lambda name: -len(passages[name].roles))
    while rest:
        longest = len(passages[rest[0]].roles)
        size = max(1, MEMORY // (4 * text.num_hidden_layers * text.num_attention_heads * longest**2))
        names, rest = rest[:size], rest[size:]
        rows = [np.pad(roles, (0, longest - len(roles)), constant_values=PADDING) for _, roles in
                (passages[name] for name in names)]  # fmt: skip
        yield names, collate([passages[name].window for name in names]), torch.from_numpy(np.stack(rows))


def features(measured: np.ndarray, roles: Sequence[np.ndarray]) -> np.ndarray:
    """Masses `(passages, layers, queries, 4)` → `FEATURES` `(passages, layers + 1, queries, 6)`.

    The last layer is the mean over all layers.
    """
    counts = np.array([[(each == role).sum() for role in (RELEVANT, IRRELEVANT)] for each in roles])
    whole = np.concatenate([measured, measured.mean(1, keepdims=True)], 1).astype(np.float64)
    return np.concatenate([whole, whole[..., :2] / counts[:, None, None]], -1)


def measurable(passages: Sequence[Passage], runs: Sequence[Mapping[str, object]]) -> list[Passage]:
    """The passages that all runs have; what `mark` returns tells it before anything is measured.

    Raises:
        ValueError: there is none.
    """
    chosen = [each for each in passages if all(each.id in run for run in runs)]
    if not chosen:
        raise ValueError("no passage has relevant, irrelevant and question tokens within the window of every model.")
    return chosen


def compare(
    runs: Sequence[tuple[str, Mapping[str, np.ndarray], Mapping[str, Marked]]],
    passages: Sequence[Passage],
    draws: int = 2000,
    seed: int = 0,
) -> dict:
    """The statistic of the passages that all runs could measure. Seeds of a variant are averaged passage by passage.

    Args:
        runs: name of the variant, and what `measure` and `mark` return; the first one's is the baseline.

    Returns:
        `passages` and `contexts` (how many), `rows` (`summarise`, clustered by context), `runs` (the estimates of each
        run alone, in the order given).
    """
    chosen = measurable(passages, [measured for _, measured, _ in runs])
    clusters = np.unique([each.context for each in chosen], return_inverse=True)[1]
    variants: dict[str, list[np.ndarray]] = {}
    for name, measured, marked in runs:
        values = features(np.stack([measured[each.id] for each in chosen]), [marked[each.id].roles for each in chosen])
        variants.setdefault(name, []).append(values)
    return {
        "passages": len(chosen),
        "contexts": int(clusters.max()) + 1,
        "rows": summarise({name: np.mean(values, 0) for name, values in variants.items()}, clusters, draws, seed),
        "runs": [
            {"variant": name, "seed": number, **row}
            for name, several in variants.items()
            for number, values in enumerate(several, start=1)
            for row in estimates(values)
        ],
    }


def estimates(values: np.ndarray) -> Iterator[dict]:
    """Every figure of one run, without interval: queries, layer, figure, value."""
    for name, sampled in _figures(values.mean(0)[None]).items():
        for row in _rows(name, sampled, None):
            yield {key: row[key] for key in ("queries", "layer", "figure", "value")}


def summarise(
    variants: Mapping[str, np.ndarray], clusters: np.ndarray, draws: int = 2000, seed: int = 0
) -> list[dict]:
    """Every figure of every variant with its interval, and its difference to the first variant.

    Intervals are percentiles (95 %) of a bootstrap over clusters of passages. All variants are measured on the same
    resampled passages, so differences are paired; where numbers of layers differ, only means over layers are compared.

    Args:
        variants: name → `features` of the same passages in the same order.
        clusters: `(passages,)`, equal for passages that belong together.

    Returns:
        One row per variant, queries, layer (from 1, then `mean`) and figure: `value`, `low`, `high`, `difference`,
        `difference_low`, `difference_high`. The first variant has no differences; None also stands for 0/0.

    Raises:
        ValueError: there are fewer than two clusters.
    """
    if len(np.unique(clusters)) < 2:
        raise ValueError("all questions are on one context; intervals need passages with at least two.")
    baseline, rows = None, []
    for variant, values in variants.items():
        sampled = np.concatenate([values.mean(0)[None], resampled_means(values, clusters, draws, seed)])
        figures = _figures(sampled)
        for name, whole in figures.items():
            rows += ({"variant": variant, **row} for row in _rows(name, whole, baseline and baseline[name]))
        baseline = baseline or figures
    return rows


def _figures(means: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: compute(means) for name, compute in FIGURES.items()}


def _rows(figure: str, sampled: np.ndarray, baseline: np.ndarray | None) -> Iterator[dict]:
    """Rows from `(1 + draws, layers + 1, queries)`, the first of which is the estimate."""
    last = sampled.shape[1] - 1
    for column, queries in enumerate(QUERIES):
        for layer in range(last + 1):
            row = {"queries": queries, "layer": MEAN if layer == last else layer + 1, "figure": figure}
            row |= _with_interval("value", "", sampled[:, layer, column])
            difference = None
            if baseline is not None and (layer == last or baseline.shape[1] == sampled.shape[1]):
                difference = sampled[:, layer, column] - baseline[:, -1 if layer == last else layer, column]
            yield row | _with_interval("difference", "difference_", difference)


def _with_interval(name: str, prefix: str, sampled: np.ndarray | None) -> dict[str, float | None]:
    keys = (name, f"{prefix}low", f"{prefix}high")
    if sampled is None or not np.isfinite(sampled).all():
        return dict.fromkeys(keys)
    low, high = interval(sampled[1:]) if len(sampled) > 1 else (np.nan, np.nan)
    return dict(zip(keys, map(float, (sampled[0], low, high)), strict=True))

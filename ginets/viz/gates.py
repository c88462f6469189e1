"""What gates and inhibited ranks do in a forward, seen from outside: hooks on modules, padding left out.

GI: the gate `G = gelu(S − p·max S) + 1` of each entry of a gated query or key. Where S is below the threshold p·max S
the entry is inhibited: G < 1. How much so is another matter, as gelu is never below −0.17 and far below the threshold 0
again. InA: of the ranks h of a token those below p·max h are inhibited.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn import functional as F

from ..models.gated import GatedAttention
from ..models.inhibited import InhibitedLowRank
from ..ops.gate import inhibit
from .freeze_map import IN_LAYER


QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
SIDES = {"select_q": "query", "select_k": "key"}
REDUCED = 0.01  # an entry counts as reduced if G < 1 − REDUCED
# G is counted in bins that are fine near 1: equal ones of asinh((G − 1)/FINE). Their width is at most 0.6 % of G − 1.
FINE, LOW, HIGH, BINS, MERGED = 1e-3, -6.0, 17.0, 4096, 32


@dataclass
class EntryStatistics:
    """Counts of inhibited entries, by feature or rank, and for gates the distribution of G."""

    kind: str  # "gate" or "ranks"
    level: float
    entries: int = 0
    inhibited: np.ndarray | None = None  # (features,)
    reduced: int = 0
    total: float = 0.0
    squares: float = 0.0
    extremes: tuple[float, float] = (float("inf"), float("-inf"))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, excess: torch.Tensor) -> None:
        """Take in `S − p·max S` (or `h − p·max h`), `(tokens, features)`."""
        below = (excess < 0).sum(0).cpu().numpy()
        self.inhibited = below if self.inhibited is None else self.inhibited + below
        self.entries += excess.numel()
        if self.kind == "gate":
            over = F.gelu(excess.float())  # G − 1
            self.reduced += int((over < -REDUCED).sum())
            self.total += over.double().sum().item()
            self.squares += over.double().square().sum().item()
            self.extremes = min(self.extremes[0], over.min().item()), max(self.extremes[1], over.max().item())
            places = (torch.asinh(over.flatten() / FINE) - LOW) * (BINS / (HIGH - LOW))
            self.counts += torch.bincount(places.long().clamp(0, BINS - 1), minlength=BINS).cpu().numpy()

    def row(self) -> dict:
        """The figures, flat."""
        row = {"entries": self.entries, "share_inhibited": float(self.inhibited.sum() / self.entries)}
        if self.kind == "gate":
            mean = self.total / self.entries
            row |= {
                "share_reduced": self.reduced / self.entries,
                "mean": 1 + mean,
                "sd": max(self.squares / self.entries - mean**2, 0) ** 0.5,
            }
            row |= {"min": 1 + self.extremes[0], "max": 1 + self.extremes[1]}
            row |= {f"quantile_{share}": value for share, value in zip(QUANTILES, self.quantiles(), strict=True)}
        return row

    def quantiles(self) -> list[float]:
        """G at `QUANTILES`, within its bin by linear interpolation, and never outside of what occurred."""
        places = np.interp(np.array(QUANTILES) * self.entries, np.append(0, self.counts.cumsum()), EDGES)
        return [1 + float(np.clip(FINE * np.sinh(place), *self.extremes)) for place in places]

    def histogram(self) -> dict[str, list]:
        """Edges (of G) and counts of the bins, coarser than those of the quantiles, empty ones at the ends left out."""
        counts = self.counts.reshape(-1, MERGED).sum(1)
        filled = np.flatnonzero(counts)
        first, last = filled[0], filled[-1] + 1
        edges = 1 + FINE * np.sinh(EDGES[::MERGED][first : last + 1])
        return {"edges": edges.tolist(), "counts": counts[first:last].tolist()}

    def by_feature(self) -> list[float]:
        """The share of tokens in which each feature or rank is inhibited."""
        return (self.inhibited * len(self.inhibited) / self.entries).tolist()


EDGES = np.linspace(LOW, HIGH, BINS + 1)


class GateRecorder:
    """Collects `EntryStatistics` by layer and place while models run under `watch`.

    Attributes:
        real: `(batch, T)` bool, the tokens of the next forward that are no padding; None: all.
        found: (layer from 1, place, kind) → statistics; place is `query`, `key`, or the path of the module with a branch.
            Several models of the same form, e.g. seeds, add to the same ones.
    """

    def __init__(self):
        self.real: torch.Tensor | None = None
        self.found: dict[tuple[int | None, str, str], EntryStatistics] = {}

    @contextmanager
    def watch(self, model) -> Iterator["GateRecorder"]:
        """Statistics of what `model` computes within the `with` block."""
        handles = [module.register_forward_hook(hook) for module, hook in self._hooks(model)]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def rows(self) -> list[dict]:
        """One row per layer and place, sorted."""
        ordered = sorted(self.found.items(), key=lambda item: (item[0][0] is None, item[0][0] or 0, item[0][1:]))
        return [
            {"layer": layer, "place": place, "kind": kind, "level": each.level, **each.row()}
            for (layer, place, kind), each in ordered
        ]

    def details(self) -> list[dict]:
        """`rows` with what does not fit into a table: the histogram of G, the share of each rank."""
        more = {
            "gate": lambda each: {"histogram": each.histogram()},
            "ranks": lambda each: {"by_rank": each.by_feature()},
        }
        return [row | more[row["kind"]](self.found[row["layer"], row["place"], row["kind"]]) for row in self.rows()]

    def _hooks(self, model) -> Iterator[tuple]:
        for name, module in model.named_modules():
            if isinstance(module, GatedAttention):
                for part, side in SIDES.items():
                    if part in module._modules:
                        yield module._modules[part], self._of_gate(name, side, module.config)
            elif isinstance(module, InhibitedLowRank):
                if module.config.inhibition_level:
                    yield module.A, self._of_branch(name.removesuffix("_ina"), module.config.inhibition_level)
            elif _is_adapter(module):
                yield module, self._of_adapter(name)

    def _of_gate(self, name: str, side: str, config):
        """The output of `select_q`, `select_k` is S."""

        def hook(module, inputs, scores):
            excess = inhibit(scores, config.inhibition_level, config.inhibition_scope)
            self._add(name, side, "gate", config.inhibition_level, excess)

        return hook

    def _of_branch(self, name: str, level: float):
        """The output of a native branch's `A` is h."""

        def hook(module, inputs, ranks):
            self._add(name, None, "ranks", level, inhibit(ranks, level))

        return hook

    def _of_adapter(self, name: str):
        """An adapter's `A` is no module that runs, so h is computed from the layer's input as the layer does."""

        def hook(layer, inputs, output):
            if layer.disable_adapters or layer.merged:
                return
            for adapter in layer.adapters_here():
                if level := layer.configs[adapter].inhibition_level:
                    self._add(name, None, "ranks", level, inhibit(layer.ranks(adapter, inputs[0]), level))

        return hook

    def _add(self, name: str, place: str | None, kind: str, level: float, excess: torch.Tensor) -> None:
        if self.real is None:
            excess = excess.flatten(0, -2)
        elif excess.shape[:-1] == self.real.shape:
            excess = excess[self.real]
        else:  # DeBERTa's projections are also applied to its table of positions, which is no text
            return
        match = IN_LAYER.search(name)
        layer, module = (int(match[1]) + 1, match[2]) if match else (None, name)
        statistics = self.found.setdefault((layer, place or module, kind), EntryStatistics(kind, level))
        if statistics.level != level:
            raise ValueError(f"{name}: inhibition_level is {level}, in a model of the same name {statistics.level}.")
        statistics.add(excess.detach())


def _is_adapter(module) -> bool:
    """Whether it is a layer of an InA adapter; PEFT stays unimported where there is none."""
    return getattr(module, "prefix", None) == "ina_" and hasattr(module, "adapters_here")

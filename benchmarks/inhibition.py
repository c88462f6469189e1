"""What inhibition does while a model learns: runs of the leaderboard, measured at several points of the training.

    python benchmarks/inhibition.py --name minilm --model MODEL --glue-dir GLUE --task cola \
        --out benchmarks/results/inhibition.json
    python benchmarks/inhibition.py --name minilm --model MODEL --glue-dir GLUE --task cola --points 3 --rows 1043 \
        --variants gi-0 gi-0.9 --seeds 10 20 30 --mechanism-lr 0.001 --out benchmarks/results/inhibition_moving_gates.json
    python benchmarks/inhibition.py --name minilm --model MODEL --glue-dir GLUE --task cola --points 3 --rows 1043 \
        --variants gi-0 --seeds 10 20 30 --mechanism-lr 0.0001 --out benchmarks/results/inhibition_slower_gates.json

The methods are those of `leaderboard.yaml` at the learning rates that its tuning chose (folder `--name` beside it). A run
keeps `--points` checkpoints at equal distances; each is measured in evaluation mode on `--rows` rows of the training and
of the development set, always the same:

* loss and score on both: their distance is what was learnt by heart.
* `inhibited`: the share of ranks (InA) or gate entries (GI) that lie below the threshold, on the development rows.
* `kept`: |f(h)| / |h|, InA: what inhibition leaves of the ranks of a token, between A and B.
* `branch`: |update| / |projection|, of any adapter: how far it moves what it is added to.
* `gate`: mean, least and largest gate; `reduced`: the share of entries with a gate below 0.99; `validation_<score>_at_1`
  and `changed_at_1`: the score if all gates of the trained model are 1, and the share of rows classified otherwise.

`kept` and `branch` are means over tokens without padding and over adapted layers.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from leaderboard_runs import checkpoints, open_results, options_with, predict, rows_of
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn import functional as F
from transformers import DataCollatorWithPadding

from ginets.hub.load import load_for_inference
from ginets.metrics.glue import compute
from ginets.models.gated import GatedAttention
from ginets.viz.gates import GateRecorder
from paired import report


SPLITS = ("train", "validation")


class Means:
    """Means of values by name, over all that is added."""

    def __init__(self):
        self.totals: dict[str, tuple[float, int]] = {}

    def add(self, name: str, values: torch.Tensor) -> None:
        total, count = self.totals.get(name, (0.0, 0))
        self.totals[name] = total + values.double().sum().item(), count + values.numel()

    def rounded(self) -> dict[str, float]:
        return {name: round(total / count, 4) for name, (total, count) in self.totals.items()}


@contextmanager
def watched(model, recorder: GateRecorder, means: Means) -> Iterator[None]:
    """While it lasts, `recorder` sees gates and ranks, `means` the lengths of updates; `recorder.real` is the mask."""

    def hook(layer, inputs, output):
        if output.shape[:-1] != recorder.real.shape:  # DeBERTa's table of positions, which is no text
            return
        stock = layer.get_base_layer()(inputs[0])
        means.add("branch", lengths(output - stock, stock)[recorder.real])
        if hasattr(layer, "between"):
            (adapter,) = layer.active_adapters
            ranks = layer.ranks(adapter, inputs[0])
            means.add("kept", lengths(layer.between(adapter, ranks), ranks)[recorder.real])

    with recorder.watch(model), ExitStack() as hooks:
        for module in model.modules():
            if isinstance(module, BaseTunerLayer) and isinstance(module.get_base_layer(), nn.Linear):
                hooks.callback(module.register_forward_hook(hook).remove)
        yield


def lengths(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """|part| / |whole| over the last axis; a token whose `whole` is zero has nothing to compare and counts as 1."""
    norm = whole.norm(dim=-1)
    return torch.where(norm > 0, part.norm(dim=-1) / norm, 1.0)


def measure(options, path: Path, tables: Mapping, metric: str) -> dict[str, float]:
    """The figures of one checkpoint."""
    model, tokenizer = load_for_inference(str(path))
    model.to(options.device)
    recorder, means, collate = GateRecorder(), Means(), DataCollatorWithPadding(tokenizer)
    figures = {}

    def mask_of(batch):
        recorder.real = batch["attention_mask"].bool()

    for split, rows in tables.items():
        with ExitStack() as stack:
            if split == "validation":
                stack.enter_context(watched(model, recorder, means))
            logits = predict(model, rows, collate, options.batch_size, mask_of)
        gold = torch.tensor(rows["label"])
        figures[f"{split}_loss"] = round(F.cross_entropy(logits, gold).item(), 4)
        figures[f"{split}_{metric}"] = scored(metric, logits, gold)
    if open_gates(model):
        opened = predict(model, rows, collate, options.batch_size)
        figures[f"validation_{metric}_at_1"] = scored(metric, opened, gold)
        figures["changed_at_1"] = round((opened.argmax(-1) != logits.argmax(-1)).double().mean().item(), 4)
    return figures | means.rounded() | summary(recorder)


def scored(metric: str, logits: torch.Tensor, gold: torch.Tensor) -> float:
    return round(compute([metric], logits.argmax(-1).numpy(), gold.numpy())[metric], 4)


@torch.no_grad()
def open_gates(model) -> bool:
    """Makes all gates 1, whatever p, and says whether there are any: without scores S, gelu(S − p·max S) + 1 is 1."""
    found = False
    for module in model.modules():
        if isinstance(module, GatedAttention):
            for side in module.config.inhibited_sides:
                for parameter in getattr(module, f"select_{side}").parameters():
                    parameter.zero_()
                found = True
    return found


def summary(recorder: GateRecorder) -> dict[str, float]:
    """What gates or ranks do, over all layers."""
    rows = recorder.rows()
    if not rows:
        return {}
    weights = [row["entries"] for row in rows]
    names = {"share_inhibited": "inhibited", "share_reduced": "reduced", "mean": "gate"}
    figures = {
        short: round(float(np.average([row[name] for row in rows], weights=weights)), 4)
        for name, short in names.items()
        if name in rows[0]
    }
    if "min" in rows[0]:
        figures |= {"gate_least": round(min(row["min"] for row in rows), 4)}
        figures |= {"gate_largest": round(max(row["max"] for row in rows), 4)}
    return figures


def main():
    options = options_with(
        __doc__.splitlines()[0],
        variants=["lora", "ina-0.1", "ina-0.3", "ina-0.9", "ina-0.9-rescaled", "full", "gi-0.3", "gi-0.9"],
        rows=1000, work="runs/leaderboard_models",
    )  # fmt: skip
    results = open_results(options)
    tables = {
        split: rows.shuffle(seed=0)
        .select(range(min(options.rows, len(rows))))
        .sort("length", reverse=True)  # as the leaderboard scores them
        for split, rows in rows_of(options, *SPLITS).items()
    }
    metric = results.leaderboard.tasks[options.task].metric
    report(
        options,
        {
            f"{method}, seed {seed}": {
                path.name: measure(options, path, tables, metric)
                for path in checkpoints(options, results, method, seed)
            }
            for method in options.variants
            for seed in options.seeds
        },
    )


if __name__ == "__main__":
    main()

"""What inhibition does while a model learns: runs of the leaderboard, measured at several points of the training.

    python benchmarks/inhibition.py --name minilm --model MODEL --glue-dir GLUE --task cola --work runs/inhibition \
        --out benchmarks/results/inhibition.json

The methods are those of `leaderboard.yaml` at the learning rates that its tuning chose (folder `--name` beside it). A run
keeps `--points` checkpoints at equal distances; each is measured in evaluation mode on `--rows` rows of the training and
of the development set, always the same:

* loss and score on both: their distance is what was learnt by heart.
* `inhibited`: the share of ranks (InA) or gate entries (GI) that lie below the threshold, on the development rows.
* `kept`: |f(h)| / |h|, InA: what inhibition leaves of the ranks of a token, between A and B.
* `branch`: |update| / |projection|, of any adapter: how far it moves what it is added to.
* `gate`: mean, least and largest gate; `reduced`: the share of entries with a gate below 0.99.

`kept` and `branch` are means over tokens without padding and over adapted layers.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from cells import ROOT, check_known, folder_of, run
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn import functional as F
from transformers import AutoTokenizer, DataCollatorWithPadding

from ginets.bench.protocol import load
from ginets.bench.results import Results
from ginets.data.glue import TASKS, find_task, load_folder
from ginets.hub.load import load_for_inference
from ginets.metrics.glue import compute
from ginets.recipes.glue_data import DataArguments, tokenize
from ginets.recipes.recipe_files import as_words
from ginets.viz.gates import GateRecorder
from paired import arguments, report


SPLITS = ("train", "validation")
HIDDEN = ("idx", "length", "label")  # columns that a model does not take


def checkpoints(options, results: Results, method: str, seed: int) -> list[Path]:
    """The checkpoints of a run of the leaderboard, in order."""
    cells = results.leaderboard.task(results.folder, options.task, results.rates).cells
    cell = next(each for each in cells if each.variant["method"] == method and each.seed == seed)
    keep = {"do_eval": False, "save_strategy": "steps", "save_steps": 1 / options.points, "save_only_model": True,
            "save_total_limit": options.points + 1}  # fmt: skip
    name, words = f"{options.task}-{method}-{seed}", as_words({**cell.arguments, **keep})
    run("run_glue.py", name, words, as_words(dict(cell.places)), options.work, ())
    found = folder_of(name, words, options.work).glob("checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


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
    for split, rows in tables.items():
        with ExitStack() as stack:
            if split == "validation":
                stack.enter_context(watched(model, recorder, means))
            logits = predict(model, rows, collate, options.batch_size, recorder)
        gold = torch.tensor(rows["label"])
        figures[f"{split}_loss"] = round(F.cross_entropy(logits, gold).item(), 4)
        figures[f"{split}_{metric}"] = round(compute([metric], logits.argmax(-1).numpy(), gold.numpy())[metric], 4)
    return figures | means.rounded() | summary(recorder)


def predict(model, rows, collate, size: int, recorder: GateRecorder) -> torch.Tensor:
    """Logits of the rows in their order, `(rows, classes)`."""
    fields, found = rows.select_columns([name for name in rows.column_names if name not in HIDDEN]), []
    for start in range(0, len(rows), size):
        batch = collate([fields[at] for at in range(start, min(start + size, len(rows)))]).to(model.device)
        recorder.real = batch["attention_mask"].bool()
        with torch.no_grad():
            found.append(model(**batch).logits.float().cpu())
    return torch.cat(found)


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
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", name="minilm", task="cola", seeds=[10], points=6, rows=400, batch_size=32,
        variants=["lora", "ina-0.1", "ina-0.3", "ina-0.9", "ina-0.9-rescaled", "full", "gi-0.3", "gi-0.9"],
        leaderboard=str(ROOT / "benchmarks/leaderboard/leaderboard.yaml"), work="runs/inhibition",
    )  # fmt: skip
    file = Path(options.leaderboard)
    places = {"model_name_or_path": options.model, "glue": options.glue_dir, "use_cpu": options.device == "cpu"}
    results = Results(load(file, places), file.parent / options.name)
    check_known("variants", options.variants, results.leaderboard.methods)
    classified = [name for name in results.leaderboard.tasks if name in TASKS and TASKS[name].labels]
    check_known("task", [options.task], classified)
    check_known("seeds", options.seeds, results.leaderboard.seeds)
    task = results.leaderboard.tasks[options.task]
    examples = load_folder(find_task(options.task), options.glue_dir, SPLITS)
    data = DataArguments(task_name=options.task, glue_dir=options.glue_dir)
    tables = {
        split: rows.shuffle(seed=0)
        .select(range(min(options.rows, len(rows))))
        .sort("length", reverse=True)  # as the leaderboard scores them
        for split, rows in tokenize(examples, AutoTokenizer.from_pretrained(options.model), data).items()
    }
    report(
        options,
        {
            f"{method}, seed {seed}": {
                path.name: measure(options, path, tables, task.metric)
                for path in checkpoints(options, results, method, seed)
            }
            for method in options.variants
            for seed in options.seeds
        },
    )


if __name__ == "__main__":
    main()

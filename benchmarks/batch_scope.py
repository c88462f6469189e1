"""How much do the scores of gates depend on how evaluation batches are made up?

    python benchmarks/batch_scope.py --name minilm --model MODEL --glue-dir GLUE --task cola \
        --out benchmarks/results/batch_scope.json

A gate of scope `batch` takes its maximum over all tokens of a batch, padding included; one of scope `token` does not look
beyond its token. Models of the leaderboard, at the learning rates that its tuning chose, are scored on the development set
with batches of several sizes, rows by length, longest first, and once in the order of the file. Against batches of
`--batch-size`, those of the training: the score, the share of rows that are classified otherwise, and the largest change
of a logit. Evaluation is in float32, so that of scope `token` only rounding is left.
"""

import numpy as np
import torch
from leaderboard_runs import checkpoints, open_results, options_with, predict, rows_of
from transformers import DataCollatorWithPadding

from ginets.hub.load import load_for_inference
from ginets.metrics.glue import compute
from paired import report


def compared(options, path, rows, metric: str) -> dict[str, dict[str, float]]:
    """Figures of a checkpoint by how the batches are made up."""
    model, tokenizer = load_for_inference(str(path))
    model.to(options.device)
    collate, in_order = DataCollatorWithPadding(tokenizer), rows.sort("idx")
    ways = {f"{size} by length": (rows, size) for size in [options.batch_size, *options.sizes]}
    ways[f"{options.batch_size} as in the file"] = (in_order, options.batch_size)
    base, labels, figures = None, in_order["label"], {}
    for name, (ordered, size) in ways.items():
        back = torch.tensor(ordered["idx"]).argsort()
        logits = predict(model, ordered, collate, size)[back]
        base = logits if base is None else base
        answers = logits.argmax(-1)
        figures[name] = {
            metric: round(compute([metric], answers.numpy(), np.array(labels))[metric], 4),
            "changed": round((answers != base.argmax(-1)).double().mean().item(), 4),
            "largest_change": round((logits - base).abs().max().item(), 6),
        }
    return figures


def main():
    options = options_with(
        __doc__.splitlines()[0],
        variants=["gi-0.3", "gi-0.9", "gi-0.3-batch", "gi-0.9-batch"], sizes=[1, 8, 128], work="runs/leaderboard_models",
    )  # fmt: skip
    results = open_results(options)
    rows, metric = rows_of(options, "validation")["validation"], results.leaderboard.tasks[options.task].metric
    report(
        options,
        {
            f"{method}, seed {seed}": compared(options, checkpoints(options, results, method, seed)[-1], rows, metric)
            for method in options.variants
            for seed in options.seeds
        },
    )


if __name__ == "__main__":
    main()

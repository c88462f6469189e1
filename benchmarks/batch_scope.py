"""How much do the scores of gates depend on how evaluation batches are made up?

    python benchmarks/batch_scope.py --model MODEL --glue-dir GLUE --out benchmarks/results/batch_scope.json

A gate of scope `batch` takes its maximum over all tokens of a batch, padding included; one of scope `token` does not look
beyond its token. For each scope and level a model is trained by `run_glue.py` (cells are kept in `--work`) and scored
on the development set with batches of several sizes, rows by length, longest first, and once in the order of the file.
Against batches of `--batch-size`, those of the training: the score, the share of rows that are classified otherwise, and
the largest change of a logit. Evaluation is in float32, so that of scope `token` only rounding is left.
"""

from itertools import product

import numpy as np
import torch
from cells import folder_of, run
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from ginets.data.glue import find_task, load_folder
from ginets.metrics.glue import compute
from ginets.recipes.glue_data import DataArguments, tokenize
from paired import arguments, report


SCOPES = ("token", "batch")


def trained(options, scope: str, level: float):
    """The model of a cell."""
    words = [
        *("--task_name", options.task, "--do_train", "--do_eval", "--eval_strategy", "no", "--save_strategy", "no"),
        *("--load_best_model_at_end", "false", "--disable_tqdm", "true", "--seed", options.seed),
        *("--learning_rate", options.learning_rate, "--num_train_epochs", options.epochs, "--warmup_steps", "0.06"),
        *("--per_device_train_batch_size", options.batch_size, "--per_device_eval_batch_size", options.batch_size),
        *("--gi_query_side", "--gi_key_side", "--inhibition_level", level, "--inhibition_scope", scope),
        *(["--use_cpu"] if options.device == "cpu" else []),
    ]
    places = ["--model_name_or_path", options.model, "--glue_dir", options.glue_dir, "--attn_implementation", "eager"]
    name = f"{options.task}-{scope}-{level}"
    run("run_glue.py", name, words, places, options.work, ())
    folder = folder_of(name, words, options.work)
    return AutoModelForSequenceClassification.from_pretrained(folder).eval().to(options.device)


def logits_of(model, rows, collate, size: int) -> np.ndarray:
    """Logits of all rows, in the order of `idx`."""
    found = np.empty((len(rows), model.config.num_labels), np.float32)
    fields = rows.select_columns([name for name in rows.column_names if name not in ("idx", "length", "label")])
    for start in range(0, len(rows), size):
        batch = collate([fields[at] for at in range(start, min(start + size, len(rows)))]).to(model.device)
        with torch.no_grad():
            found[rows[start : start + size]["idx"]] = model(**batch).logits.float().cpu().numpy()
    return found


def compared(options, model, rows, collate, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Figures by how the batches are made up."""
    ways = {f"{size} by length": (rows, size) for size in options.sizes}
    ways[f"{options.batch_size} as in the file"] = (rows.sort("idx"), options.batch_size)
    base = logits_of(model, rows, collate, options.batch_size)
    figures = {}
    for name, (ordered, size) in ways.items():
        logits = logits_of(model, ordered, collate, size)
        figures[name] = compute(find_task(options.task).metrics, logits.argmax(-1), labels) | {
            "changed": round(float((logits.argmax(-1) != base.argmax(-1)).mean()), 4),
            "largest_change": round(float(np.abs(logits - base).max()), 6),
        }
    return figures


def main():
    options = arguments(
        __doc__.splitlines()[0],
        model="", glue_dir="", task="rte", levels=[0.1, 0.3, 0.9], sizes=[1, 8, 32, 128], batch_size=32, epochs=3,
        learning_rate=1e-4, work="runs/batch_scope",
    )  # fmt: skip
    examples = load_folder(find_task(options.task), options.glue_dir, ["validation"])
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    rows = tokenize(examples, tokenizer, DataArguments(task_name=options.task, glue_dir=options.glue_dir))[
        "validation"
    ]
    collate, labels = DataCollatorWithPadding(tokenizer), np.array(rows.sort("idx")["label"])
    report(
        options,
        {
            f"{scope}, p = {level}": compared(options, trained(options, scope, level), rows, collate, labels)
            for scope, level in product(SCOPES, options.levels)
        },
    )


if __name__ == "__main__":
    main()

"""Models of the leaderboard: its runs done again with their checkpoints kept, and the rows they are measured on."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from cells import ROOT, check_known, folder_of, run
from transformers import AutoTokenizer

from ginets.bench.protocol import load
from ginets.bench.results import Results
from ginets.data.glue import TASKS, find_task, load_folder
from ginets.recipes.glue_data import DataArguments, tokenize
from ginets.recipes.recipe_files import as_words
from paired import arguments


HIDDEN = ("idx", "length", "label")  # columns that a model does not take


def options_with(description: str, **defaults) -> argparse.Namespace:
    """The options of a script that measures such models."""
    return arguments(
        description, model="", glue_dir="", name="minilm", task="cola", seeds=[10], points=6, batch_size=32, mechanism_lr=0.0,
        bf16="", leaderboard=str(ROOT / "benchmarks/leaderboard/leaderboard.yaml"), **defaults,
    )  # fmt: skip


def open_results(options: argparse.Namespace) -> Results:
    """The leaderboard in the folder `--name` beside its file; ends with one line if it lacks what is asked for."""
    file = Path(options.leaderboard)
    places = {"model_name_or_path": options.model, "glue": options.glue_dir, "use_cpu": options.device == "cpu"}
    if options.bf16:  # as the file says, otherwise; some have float32 in their `arguments`, and no such place
        check_known("bf16", [options.bf16], ("true", "false"))
        places["bf16"] = options.bf16 == "true"
    results = Results(load(file, places), file.parent / options.name)
    board = results.leaderboard
    check_known("variants", options.variants, board.methods)
    check_known("task", [options.task], [name for name in board.tasks if name in TASKS and TASKS[name].labels])
    check_known("seeds", options.seeds, board.seeds)
    if results.base != options.model:
        sys.exit(
            f"--model is {options.model!r}; the runs in {results.folder} are of {results.base!r}: give that, or a link of that name."
        )
    if options.points < 2:  # the Trainer takes a share of 1 for every step
        sys.exit(f"--points is {options.points}; allowed: at least 2.")
    return results


def checkpoints(options: argparse.Namespace, results: Results, method: str, seed: int) -> list[Path]:
    """The checkpoints of a run at its tuned learning rate, in order: `--points` at equal distances.

    With `--mechanism-lr` it is another run than the leaderboard's: gates have that rate, and the rest the tuned one.
    """
    cells = results.leaderboard.task(results.folder, options.task, results.rates).cells
    cell = next(each for each in cells if each.variant["method"] == method and each.seed == seed)
    keep = {"do_eval": False, "save_strategy": "steps", "save_steps": 1 / options.points, "save_only_model": True,
            "save_total_limit": options.points + 1}  # fmt: skip
    keep |= {"mechanism_lr": options.mechanism_lr} if options.mechanism_lr else {}
    name = "-".join([results.folder.parent.name, results.folder.name, options.task, method, str(seed)])
    words = as_words({**cell.arguments, **keep})
    run("run_glue.py", name, words, as_words(dict(cell.places)), options.work, ())
    found = folder_of(name, words, options.work).glob("checkpoint-*")
    return sorted(found, key=lambda path: int(path.name.removeprefix("checkpoint-")))


def rows_of(options: argparse.Namespace, *splits: str) -> Mapping:
    """The tokenized splits of `--task`."""
    examples = load_folder(find_task(options.task), options.glue_dir, splits)
    data = DataArguments(task_name=options.task, glue_dir=options.glue_dir)
    return tokenize(examples, AutoTokenizer.from_pretrained(options.model), data)


def predict(model, rows, collate, size: int, before=lambda batch: None) -> torch.Tensor:
    """Logits of the rows in their order, `(rows, classes)`; `before` is called with each batch."""
    fields, found = rows.select_columns([name for name in rows.column_names if name not in HIDDEN]), []
    for start in range(0, len(rows), size):
        batch = collate([fields[at] for at in range(start, min(start + size, len(rows)))]).to(model.device)
        before(batch)
        with torch.no_grad():
            found.append(model(**batch).logits.float().cpu())
    return torch.cat(found)

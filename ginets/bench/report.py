"""RESULTS.md and results.csv, made from the cells of a folder and nothing else."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

from ..metrics.intervals import Mean, holm
from .definition import Leaderboard
from .results import Column, Difference, Results, precision_of
from .tuning import by_rate


CSV_COLUMNS = ("task", "metric", "method", "learning_rate", "seeds", "mean", "low", "high", "baseline", "difference",
               "difference_low", "difference_high", "p", "p_holm")  # fmt: skip


def as_markdown(results: Results, costs: dict | None = None) -> str:
    """The report.

    Args:
        costs: what `ginets bench cost` has written: `methods` → method → `step_ratio`, and how it was measured.
    """
    board = results.leaderboard
    made = f"Base model: {results.base}. Made by `ginets bench report` from the cells in this folder."
    parts = [f"# {board.title}", made, *frame(results)]
    if len(results.columns) > 1:
        parts += [f"## At a glance: scores, and in brackets their difference to {board.baselines[0]}"]
        parts += [overview(results.columns, board.baselines[0])]
    for column in results.columns:
        seeds = ", ".join(map(str, column.seeds))
        parts += [f"## {column.task}: {column.metric}, seeds {seeds}", score_table(column, board)]
    parts += ["## Costs and learning rates", cost_table(results, (costs or {}).get("methods", {}))]
    parts += [f"* {name}: {method.note}" for name, method in board.methods.items() if method.note]
    parts += ["## Tuning", tuning_table(results)]
    parts += ["## How to read this", reading(board), correction(results)]
    if costs:
        parts += [
            f"Steps were measured in {costs['rounds']} rounds with {costs['length']} tokens in each text, without what is "
            f"done between steps (AFLoRA's freezing, AdaLoRA's choice of ranks, SoRA's gates), on: "
            f"{spell_hardware(costs)}, {costs.get('precision', 'fp32')}."
        ]
    return "\n\n".join(parts).replace("\n\n* ", "\n* ") + "\n"


def frame(results: Results) -> list[str]:
    """Versions of all runs; number, time, hardware and commits of those of the tuning and of each task."""
    versions = distinct(
        ", ".join(f"{name} {value}" for name, value in each["versions"].items())
        for records in results.runs.values()
        for each in records
    )
    text = f"Versions: {'; or '.join(versions)}."
    if diverged := [
        f"{method} on {task} with seed {seed}"
        for (task, seed), methods in rows(results)
        for method, each in methods.items()
        if not math.isfinite(each["figures"].get("eval_loss", 0))
    ]:
        text += f" **Diverged, though they have a score: {', '.join(diverged)}.**"
    if mixed := [
        f"{task} with seed {seed}"
        for (task, seed), methods in rows(results)
        if len(set(map(precision_of, methods.values()))) > 1
    ]:
        text += f" **Methods differ in precision: {', '.join(mixed)}.**"
    return [text, *(f"* {name}: {spell_runs(records)}" for name, records in results.runs.items())]


def rows(results: Results) -> list[tuple[tuple[str, int], Mapping[str, Mapping]]]:
    """What is compared with each other: task and seed, and the records of all methods."""
    return [((task, seed), each) for task, seeds in results.records.items() for seed, each in seeds.items()]


def spell_runs(records: Sequence[Mapping]) -> str:
    hardware = "; or ".join(distinct(f"{spell_hardware(each)}, {precision_of(each)}" for each in records))
    commits = ", ".join(distinct(spell_commit(each["git_commit"]) for each in records))
    return f"{len(records)} runs, {hours(records):.1f} hours of processes, on: {hardware}. Commits: {commits}."


def hours(records: Sequence[Mapping]) -> float:
    return sum(each["seconds"] for each in records) / 3600


def spell_hardware(record: Mapping) -> str:
    return ", ".join(f"{name} {value}" for name, value in record["hardware"].items())


def spell_commit(commit: str | None) -> str:
    """Twelve letters, and the sign of a checkout with changes."""
    return commit[:12] + "+" * commit.endswith("+") if commit else "no checkout"


def distinct(texts) -> list[str]:
    return list(dict.fromkeys(texts))


def overview(columns: Sequence[Column], baseline: str) -> str:
    """One line for each method, with all tasks."""
    differences = [column.differences(baseline) for column in columns]
    lines = [["", *(column.task for column in columns)]]
    for method in columns[0].means:
        scores = [spell(column.means[method]) for column in columns]
        gaps = [spell_difference(each.get(method), p=False) for each in differences]
        lines.append(
            [method, *(f"{score} ({gap})" if gap else score for score, gap in zip(scores, gaps, strict=True))]
        )
    return table(lines)


def score_table(column: Column, board: Leaderboard) -> str:
    """Method, score, that of each seed, differences to the baselines; bold where they are more than noise."""
    differences = {name: column.differences(name) for name in board.baselines}
    lines = [["", column.metric, "seed by seed", *(f"− {name}" for name in board.baselines)]]
    for method, mean in column.means.items():
        found = [spell_difference(differences[name].get(method)) for name in board.baselines]
        seeds = ", ".join(f"{score:.1f}" for score in column.scores[method])
        lines.append([method, spell(mean), seeds, *found])
    return table(lines)


def spell(mean: Mean, sign: str = "") -> str:
    """One digit after the point; two where half of the interval would be a 0 that it is not."""
    digits = 2 if 0 < mean.half < 0.05 else 1
    half = f" ± {mean.half:.{digits}f}" if math.isfinite(mean.half) else ""
    return f"{mean.value:{sign}.{digits}f}{half}"


def spell_difference(found: Difference | None, p: bool = True) -> str:
    if found is None:
        return ""
    text = spell(found.mean, "+") + (f" (p {found.p:.2g})" if p else "")
    return f"**{text}**" if found.shown else text


def cost_table(results: Results, costs: dict) -> str:
    """Learning rate, trainable parameters, step, memory, size on disk."""
    methods = results.leaderboard.methods
    lines = [["", "learning rate", "parameters", "step / baseline's", "training, s", "memory, MiB", "saved, MiB"]]
    for name, method in methods.items():
        rate = results.rates[name]
        edge = " (edge)" if len(method.rates) > 1 and rate in (method.rates[0], method.rates[-1]) else ""
        step = costs.get(name, {}).get("step_ratio")
        lines.append([
            name,
            f"{rate:g}{edge}",
            f"{results.cost(name, 'parameters'):,.0f}",
            "" if step is None else f"{step:.2f}",
            f"{results.cost(name, 'train_seconds'):.0f}",
            f"{results.cost(name, 'peak_memory_mib'):.0f}",
            f"{results.cost(name, 'saved_mib'):.2f}",
        ])  # fmt: skip
    return table(lines)


def tuning_table(results: Results) -> str:
    """What every learning rate gave in the tuning: score and loss, means over its seeds."""
    board = results.leaderboard
    scale, merits = board.tasks[board.tuning_task].scale, by_rate(board, results.tuning)
    most = max(len(method.rates) for method in board.methods.values())
    lines = [["", *(f"rate {place}" for place in range(1, most + 1)), "chosen"]]
    for name, method in board.methods.items():
        found = [spell_tuned(rate, merits[name][rate], scale) for rate in method.rates]
        lines.append([name, *found, f"{results.rates[name]:g}"])
    return table(lines)


def spell_tuned(rate: float, merits: Sequence[tuple[float, float]], scale: float) -> str:
    """Rate, score and loss; a run without a loss counts with 0 in `merits`."""
    score, merit = (sum(each) / len(merits) for each in zip(*merits, strict=True))
    if not math.isfinite(score):
        return f"{rate:g}: diverged"
    return f"{rate:g}: {scale * score:.1f}" + (f" ({-merit:.3f})" if merit else "")


def reading(board: Leaderboard) -> str:
    on = "a held-out part of the training set" if "holdout" in board.tuning_arguments else "the development set"
    tuning = f"{on} of {board.tuning_task} with seed {', '.join(map(str, board.tuning_seeds))}"
    return (
        f"Scores are percentages: mean over the seeds ± half of a 95 % t interval. Differences are paired by seed; p is "
        f"that of a paired t test, corrected by Holm's method over all methods of the task, for each baseline by itself; "
        f"bold: p < 0.05. Intervals are not corrected. Learning rates were chosen on {tuning}, from a grid of the same size for each "
        f"method; “edge”: the chosen one is the smallest or the largest tried. The table of the tuning has the score of each rate "
        f"and in brackets its loss, which tells equal scores apart. Parameters are those that are trained, "
        f"without the head. Seconds and memory are medians over the seeds of the first task; runs shared a machine, and the ratio "
        f"of steps, measured in turn, is the one to compare by."
    )


def correction(results: Results) -> str:
    """What is left of the bold differences under a stricter rule than that of the tables."""
    found = {
        (column.task, baseline, method): each
        for column in results.columns
        for baseline in results.leaderboard.baselines
        for method, each in column.differences(baseline).items()
    }
    together = holm({place: each.mean.p for place, each in found.items()})
    bold = sum(each.shown for each in found.values())
    left = sum(Difference(each.mean, together[place]).shown for place, each in found.items())
    return f"Of the {len(found)} differences in the tables, {bold} are bold; corrected over all of them together, {left} would be."


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown; the first line is the head."""
    head, *rows = lines
    texts = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in texts)


def as_csv(results: Results) -> str:
    """One line per task, method and baseline, with all digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for column in results.columns:
        for baseline in results.leaderboard.baselines:
            differences = column.differences(baseline)
            for method, mean in column.means.items():
                row = {
                    "task": column.task, "metric": column.metric, "method": method,
                    "learning_rate": results.rates[method], "seeds": len(column.seeds),
                    "mean": mean.value, "low": mean.low, "high": mean.high, "baseline": baseline,
                }  # fmt: skip
                if found := differences.get(method):
                    row |= {
                        "difference": found.mean.value, "difference_low": found.mean.low,
                        "difference_high": found.mean.high, "p": found.mean.p, "p_holm": found.p,
                    }  # fmt: skip
                writer.writerow(row)
    return text.getvalue()

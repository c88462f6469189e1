"""Training runs as cells of a table: variant × seed, each in a process of its own with one thread, each kept.

A finished cell is a folder under `--work`, named after its command; it is not done again.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

from paired import report


ROOT = Path(__file__).resolve().parents[1]
TARGETS = ["--target_modules", "query", "key", "value"]
LOW_RANK = [*TARGETS, "--r", "8"]
LORA = ["--adapter", "lora", *LOW_RANK, "--lora_alpha", "16"]
GATES = ["--gi_query_side", "--gi_key_side", "--inhibition_level", "0.3"]


def ina(level: float) -> list[str]:
    return ["--adapter", "ina", *LOW_RANK, "--adapter_ina_alpha", "16", "--adapter_inhibition_level", str(level)]


def run(script: str, name: str, words: Sequence, places: Sequence, work: str, scores: Sequence[str]) -> dict:
    """The figures of one cell: `eval_<score>`, numbers of parameters, loss and seconds of training, peak memory.

    Args:
        script: at the top level of the project.
        name: of the folder, in front of a key made from `words`.
        words: arguments that decide the result.
        places: arguments that say where model and data lie.
        scores: names without `eval_`; those that the run gives are kept.
    """
    words, folder = [str(word) for word in words], folder_of(name, words, work)

    def make() -> dict:
        memory = peak_memory([sys.executable, str(ROOT / script), *places, "--output_dir", str(folder), *words])
        results = json.loads((folder / "all_results.json").read_text(encoding="utf-8"))
        figures = {score: results[f"eval_{score}"] for score in scores if f"eval_{score}" in results}
        figures |= {each: value for each, value in results.items() if "trainable_parameters" in each}
        figures |= {"train_loss": results["train_loss"], "train_seconds": round(results["train_runtime"])}
        return figures | {"peak_memory_mib": memory}

    return kept(folder, make)


def kept(folder: Path, make: Callable[[], dict]) -> dict:
    """What `make` returns, from `figures.json` if it was made before."""
    file = folder / "figures.json"
    if not file.exists():
        figures = make()
        folder.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".part")
        partial.write_text(json.dumps(figures), encoding="utf-8")
        partial.replace(file)
    return json.loads(file.read_text(encoding="utf-8"))


def folder_of(name: str, words: Sequence, work: str) -> Path:
    """Where a cell is kept."""
    key = hashlib.sha256(json.dumps([str(word) for word in words]).encode()).hexdigest()[:8]
    return Path(work) / f"{name}-{key}"


def peak_memory(command: list[str]) -> int:
    """Run a command with one thread; the largest size its process had in memory, in MiB."""
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_maxrss // 1024


def table(
    cell: Callable[[int, str], dict],
    variants: Sequence[str],
    seeds: Sequence[int],
    scores: Sequence[str],
    workers: int,
) -> dict[str, dict]:
    """All cells, `workers` at a time, and by variant the mean and standard deviation of each figure over the seeds.

    For every variant but the first there is also `<score>_minus_<first>`, paired by seed.
    """
    cells = list(product(seeds, variants))
    with ThreadPoolExecutor(workers) as pool:
        runs = dict(zip(cells, pool.map(lambda each: cell(*each), cells), strict=True))
    first, summary = variants[0], {}
    for variant in variants:
        values = {name: [runs[seed, variant][name] for seed in seeds] for name in runs[cells[0][0], variant]}
        for name in scores:
            if name in values and variant != first:
                gains = [mine - runs[seed, first][name] for mine, seed in zip(values[name], seeds, strict=True)]
                values[f"{name}_minus_{first}"] = gains
        summary[variant] = {name: mean_and_deviation(each) for name, each in values.items()}
    return {"runs": {f"{variant}-{seed}": runs[seed, variant] for seed, variant in cells}, "summary": summary}


def report_table(options, cell: Callable[[int, str], dict], variants: dict[str, tuple], scores: Sequence[str], **more):
    """Do the cells that `options` ask for and report them; `variants`: name → added arguments, learning rate."""
    check_known("variants", options.variants, variants)
    figures = table(cell, options.variants, options.seeds, scores, options.workers)
    for variant, summary in figures["summary"].items():
        summary["learning_rate"] = variants[variant][1]
    report(options, figures | more)


def mean_and_deviation(values: list[float]) -> dict[str, float]:
    """Of one value there is no deviation."""
    deviation = {"sd": round(statistics.stdev(values), 4)} if len(values) > 1 else {}
    return {"mean": round(statistics.mean(values), 4), **deviation}


def check_known(option: str, given: Iterable, known: Iterable) -> None:
    """End with one line if an option has what is not known."""
    if unknown := sorted(set(given) - set(known)):
        sys.exit(f"--{option} has {', '.join(map(str, unknown))}; known are {', '.join(map(str, known))}.")

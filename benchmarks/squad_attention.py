"""Where the models of `squad_seeds.py` look: attention on answers against the rest, and the sheet of one passage.

    python benchmarks/squad_attention.py --work runs/squad --data SQUAD/v1.1/dev.json --version v1.1 --out-dir attention

Models trained whole are compared to the stock one, adapters to LoRA, over all seeds (`ginets relevance`, 95 % bootstrap
intervals over passages), one group a process. Then the sheet layers × variants of the first seed (`ginets heatmap`) on
the passage of the embedded example, of which none of them has seen anything.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ginets.data.passages import showcase


# folder of the results → variants, the first of which the others are compared to
GROUPS = {"whole": ("stock", "gi-0.3"), "adapters": ("lora", "ina-0.1", "ina-0.3")}
LABELS = {"stock": "stock", "gi-0.3": "gates 30 %", "lora": "LoRA", "ina-0.1": "InA 10 %", "ina-0.3": "InA 30 %"}


def folder_of(options, variant: str, seed: int) -> Path:
    """Where a finished cell lies."""
    pattern = f"squad-{options.version}-{variant}-{seed}-*"
    found = [path for path in Path(options.work).glob(pattern) if (path / "figures.json").is_file()]
    if len(found) != 1:
        sys.exit(f"{options.work} has {len(found)} finished cells {pattern}; there must be one.")
    return found[0]


def ginets(*words: str) -> None:
    command = [sys.executable, "-m", "ginets.cli", *words]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def relevance(options, group: str, variants: Sequence[str]) -> None:
    models = [f"{LABELS[each]}={folder_of(options, each, seed)}" for each in variants for seed in options.seeds]
    settings = ("--data", options.data, "--limit", str(options.limit), "--gates")
    ginets("relevance", *models, *settings, "--output-dir", str(Path(options.out_dir, group)))


def sheet(options) -> None:
    models = [f"{label}={folder_of(options, each, options.seeds[0])}" for each, label in LABELS.items()]
    passage = showcase()
    texts = ("--text", passage["question"], "--text-pair", passage["context"])
    ginets("heatmap", *models, *texts, "--mask-special", "--output-dir", str(Path(options.out_dir, "sheet")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, help="where squad_seeds.py keeps its cells")
    parser.add_argument("--data", required=True, help="questions with answers, in SQuAD's form")
    parser.add_argument("--version", default="v1.1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--groups", nargs="+", default=[*GROUPS, "sheet"], choices=[*GROUPS, "sheet"])
    parser.add_argument("--limit", type=int, default=300, help="passages")
    parser.add_argument("--workers", type=int, default=1, help="processes, with one thread each")
    parser.add_argument("--out-dir", required=True)
    options = parser.parse_args()
    jobs = [(relevance, (options, group, GROUPS[group])) for group in options.groups if group in GROUPS]
    jobs += [(sheet, (options,))] if "sheet" in options.groups else []
    with ThreadPoolExecutor(options.workers) as pool:
        for done in [pool.submit(function, *given) for function, given in jobs]:
            done.result()


if __name__ == "__main__":
    main()

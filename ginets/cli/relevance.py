"""`ginets relevance VARIANT [VARIANT …] --data FILE`: attention on relevant and irrelevant words, with intervals."""

import argparse
import csv
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch

from ..data.relevant import Marked, Passage, mark, read_passages
from ..extras import require
from ..hub.load import ModelSource, find_model
from ..viz.attention import longest_input
from ..viz.figures import BACKGROUNDS, FORMATS, save
from ..viz.gates import GateRecorder
from ..viz.gates_figure import draw_gates, draw_inhibited
from ..viz.relevance import MEAN, QUERIES, compare, measurable, measure
from ..viz.relevance_figure import PANELS, draw_relevance
from .env import versions
from .errors import in_one_line
from .variants import read_variants


DESCRIPTION = """Measure how much attention models give to the relevant and to the irrelevant words of passages, per
layer, with bootstrap intervals and paired differences to the first variant."""
SETTINGS = ("limit", "seed", "draws", "max_seq_length", "doc_stride", "head", "gates")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("ginets relevance", description=DESCRIPTION, allow_abbrev=False)
    add_arguments(parser)
    given = parser.parse_args(arguments)
    with in_one_line(parser):
        for name, least in (("draws", 1), ("seed", 0)):
            if getattr(given, name) < least:
                raise ValueError(f"--{name} is {getattr(given, name)}; it must be at least {least}.")
        require("matplotlib", extra="viz")
        variants = read_variants(given.variants)
        sources = {path: find_model(path, given.head) for paths in variants.values() for path in paths}
        passages, left_out = read_passages(given.data, given.limit, given.seed)
        # whatever is wrong shows before weights are read
        tokenizers = {path: source.tokenizer() for path, source in sources.items()}
        marked = {path: mark_for(source, tokenizers[path], passages, given) for path, source in sources.items()}
        measurable(passages, list(marked.values()))
        given.output_dir.mkdir(parents=True, exist_ok=True)
        runs, recorders = [], {}
        for label, paths in variants.items():
            recorder = GateRecorder() if given.gates else None
            for path in paths:
                measured = measure_run(sources[path].model(), tokenizers[path], marked[path], recorder)
                runs.append((label, measured, marked[path]))
            if recorder and recorder.found:
                recorders[label] = recorder
        report = compare(runs, passages, given.draws, given.seed)
        left_out["not measurable in every variant"] = len(passages) - report["passages"]
        settings = {name: getattr(given, name) for name in SETTINGS}
        report = {
            "settings": settings | {"data": Path(given.data).name},
            "versions": versions(),
            "variants": {label: [Path(path).name for path in paths] for label, paths in variants.items()},
            "left_out": dict(+left_out),
            **report,
        }
        files = write_all(report, recorders, given)
    print_means(report)
    print("\n".join(map(str, files)))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "variants", nargs="+", metavar="VARIANT", help="model or adapter, or LABEL=PATH; a label again: another seed"
    )
    parser.add_argument("--data", required=True, help="SQuAD form, or rows with id, question, context, relevant")
    parser.add_argument("--limit", type=int, default=400, help="draw that many passages [default: 400]")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing and the bootstrap [default: 0]")
    parser.add_argument("--draws", type=int, default=2000, help="of the bootstrap [default: 2000]")
    parser.add_argument("--max-seq-length", type=int, default=384, help="[default: 384]")
    parser.add_argument("--doc-stride", type=int, default=128, help="[default: 128]")
    parser.add_argument("--head", help="e.g. QuestionAnswering [default: the saved one]")
    parser.add_argument("--gates", action="store_true", help="also statistics of gates and inhibited ranks")
    parser.add_argument("--output-dir", type=Path, default=Path("relevance"), help="[default: relevance]")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="[default: png]")
    parser.add_argument("--background", choices=BACKGROUNDS, default="light", help="[default: light]")


def mark_for(source: ModelSource, tokenizer, passages: Sequence[Passage], given) -> dict[str, Marked]:
    """The passages as this model reads them."""
    length = min(given.max_seq_length, longest_input(tokenizer, source.config))
    return mark(passages, tokenizer, length, given.doc_stride)


def measure_run(model, tokenizer, marked: dict[str, Marked], recorder: GateRecorder | None) -> dict:
    """Masses by passage id; on an accelerator, if there is one."""
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    with recorder.watch(model) if recorder else nullcontext():
        return measure(model, tokenizer, marked, recorder)


def write_all(report: dict, recorders: dict[str, GateRecorder], given) -> list[Path]:
    """Write figures and pictures; returns the files."""
    folder = given.output_dir
    files = write_tables(folder / "relevance", report, report["rows"])
    title = f"{report['passages']} passages of {Path(given.data).name}, 95 % bootstrap intervals"
    for queries in QUERIES:
        try:
            figure = draw_relevance(report["rows"], queries, title, given.background)
        except ValueError as error:
            print(f"no picture of {queries!r}: {error}")
            continue
        files += save(figure, folder / f"relevance_{queries}", given.format)
    if recorders:
        rows, details = (
            [{"variant": label, **row} for label, recorder in recorders.items() for row in rows_of(recorder)]
            for rows_of in (GateRecorder.rows, GateRecorder.details)
        )
        head = {name: report[name] for name in ("settings", "versions", "variants", "passages")}
        files += write_tables(folder / "gates", {**head, "rows": details}, rows)
        for name, draw in (("gates", draw_gates), ("inhibited", draw_inhibited)):
            if figure := draw(rows, given.background):
                files += save(figure, folder / name, given.format)
    elif given.gates:
        print("no variant has gates or inhibited ranks")
    return files


def write_tables(path: Path, report: dict, rows: list[dict]) -> list[Path]:
    """`report` as .json, `rows` as .csv; an empty cell is what the row does not have."""
    as_json, as_csv = path.with_name(f"{path.name}.json"), path.with_name(f"{path.name}.csv")
    as_json.write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    with open(as_csv, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)
    return [as_json, as_csv]


def print_means(report: dict) -> None:
    """The means over layers, of all query tokens."""
    print(
        f"{report['passages']} passages with {report['contexts']} contexts; left out: {report['left_out'] or 'none'}"
    )
    for row in report["rows"]:
        if row["layer"] == MEAN and row["queries"] == "all" and row["figure"] in PANELS and row["value"] is not None:
            line = f"{row['variant']:16} {row['figure']:14} {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
            if row["difference"] is not None:
                line += "  {difference:+.4f} [{difference_low:+.4f}, {difference_high:+.4f}]".format(**row)
            print(line)

"""`ginets relevance VARIANT [VARIANT …] --data FILE`: attention on relevant and irrelevant words, with intervals."""

import csv
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

from typer import Argument, Option

from ..extras import require, versions
from .pictures import PNG, Background, Formats
from .variants import read_variants


EXAMPLES = """
ginets relevance lora=runs/lora ina=runs/ina-1 ina=runs/ina-2 --data dev.json --limit 400 --gates
"""
SETTINGS = ("limit", "seed", "draws", "max_seq_length", "doc_stride", "head", "gates")


def main(
    variants: Annotated[
        list[str],
        Argument(metavar="VARIANT", help="Model or adapter, or LABEL=PATH; a label again: another seed."),
    ],
    data: Annotated[str, Option(metavar="FILE", help="SQuAD form, or rows with id, question, context, relevant.")],
    limit: Annotated[int, Option(metavar="N", help="Draw that many passages.")] = 400,
    seed: Annotated[int, Option(metavar="N", help="Of the drawing and the bootstrap.")] = 0,
    draws: Annotated[int, Option(metavar="N", help="Of the bootstrap.")] = 2000,
    max_seq_length: Annotated[int, Option(metavar="N", help="Tokens of a window.")] = 384,
    doc_stride: Annotated[int, Option(metavar="N", help="Tokens that two windows share.")] = 128,
    head: Annotated[
        str | None, Option(metavar="NAME", help="E.g. QuestionAnswering.", show_default="the saved one")
    ] = None,
    gates: Annotated[bool, Option("--gates", help="Also statistics of gates and inhibited ranks.")] = False,
    output_dir: Annotated[Path, Option(metavar="FOLDER", help="Folder for the files.")] = Path("relevance"),
    format: Formats = PNG,
    background: Background = "light",
) -> None:
    """Measure how much attention goes to relevant words.

    And to irrelevant ones: per layer, with bootstrap intervals and paired differences to the first variant.
    """
    report, files = measure_all(SimpleNamespace(**locals()))
    print_means(report)
    print("\n".join(map(str, files)))


def measure_all(given: SimpleNamespace) -> tuple[dict, list[Path]]:
    """The report, and the files that were written. Whatever is wrong shows before weights are read."""
    from ..data.relevant import read_passages
    from ..hub.load import find_model
    from ..viz.gates import GateRecorder
    from ..viz.relevance import compare, measurable

    for name, least in (("draws", 1), ("seed", 0)):
        if getattr(given, name) < least:
            raise ValueError(f"--{name} is {getattr(given, name)}; it must be at least {least}.")
    require("matplotlib", extra="viz")
    variants = read_variants(given.variants)
    sources = {path: find_model(path, given.head) for paths in variants.values() for path in paths}
    passages, left_out = read_passages(given.data, given.limit, given.seed)
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
    return report, write_all(report, recorders, given)


def mark_for(source, tokenizer, passages: Sequence, given: SimpleNamespace) -> dict:
    """The passages as this model reads them: id → `Marked`."""
    from ..data.relevant import mark
    from ..viz.attention import longest_input

    length = min(given.max_seq_length, longest_input(tokenizer, source.config))
    return mark(passages, tokenizer, length, given.doc_stride)


def measure_run(model, tokenizer, marked: dict, recorder) -> dict:
    """Masses by passage id; on an accelerator, if there is one. `recorder`: a `GateRecorder`, or None."""
    import torch

    from ..viz.relevance import measure

    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    with recorder.watch(model) if recorder else nullcontext():
        return measure(model, tokenizer, marked, recorder)


def write_all(report: dict, recorders: dict, given: SimpleNamespace) -> list[Path]:
    """Write figures and pictures; returns the files."""
    from ..viz.figures import save
    from ..viz.gates import GateRecorder
    from ..viz.gates_figure import draw_gates, draw_inhibited
    from ..viz.relevance import QUERIES
    from ..viz.relevance_figure import draw_relevance

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
    from ..viz.relevance import MEAN
    from ..viz.relevance_figure import PANELS

    print(
        f"{report['passages']} passages with {report['contexts']} contexts; left out: {report['left_out'] or 'none'}"
    )
    for row in report["rows"]:
        if row["layer"] == MEAN and row["queries"] == "all" and row["figure"] in PANELS and row["value"] is not None:
            line = f"{row['variant']:16} {row['figure']:14} {row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
            if row["difference"] is not None:
                line += "  {difference:+.4f} [{difference_low:+.4f}, {difference_high:+.4f}]".format(**row)
            print(line)

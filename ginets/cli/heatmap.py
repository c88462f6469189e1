"""`ginets heatmap VARIANT …`: attention of variants of a model on the same text, as pictures, numbers and a page."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

from typer import Argument, Option

from .decoding import Dtype
from .pictures import PNG, Background, Formats
from .variants import read_variants


EXAMPLES = """
ginets heatmap runs/squad --text "What is red?" --text-pair "My bag is red." --output-dir pictures
ginets heatmap LoRA=runs/lora "InA 30 %=runs/ina" --file dev.json --limit 3 --layers 1 6 -1 --output-dir pictures
"""


def main(
    variants: Annotated[
        list[str], Argument(metavar="VARIANT", help="A model or adapter (folder or Hub name), or LABEL=PATH.")
    ],
    output_dir: Annotated[
        Path, Option(metavar="FOLDER", help="Folder for the files; with --file one subfolder per text.")
    ],
    text: Annotated[str | None, Option(help="The text, or the first of a pair (the question).")] = None,
    text_pair: Annotated[str | None, Option(metavar="TEXT", help="The second text (the passage).")] = None,
    file: Annotated[
        str | None,
        Option(
            help=".txt (a text per line), .csv, .json, .jsonl (text, text_pair or question, context), or SQuAD's "
            "official JSON."
        ),
    ] = None,
    limit: Annotated[int | None, Option(metavar="N", help="Of --file: take at most so many texts.")] = None,
    layers: Annotated[
        list[int] | None, Option(metavar="N ...", help="From 1, or from -1 backwards.", show_default="all")
    ] = None,
    head: Annotated[int | None, Option(metavar="N", help="From 1.", show_default="the mean of all heads")] = None,
    mask_special: Annotated[
        bool, Option("--mask-special", help="Leave special tokens out, also out of the scale.")
    ] = False,
    max_length: Annotated[
        int | None,
        Option(metavar="N", help="Cut longer inputs.", show_default="refuse what the model cannot take"),
    ] = None,
    scale: Annotated[
        Literal["sqrt", "linear"], Option(help="Weight to colour; sqrt lets small weights show.")
    ] = "sqrt",
    background: Background = "light",
    format: Formats = PNG,
    dtype: Dtype = "float32",
) -> None:
    """Draw the attention of variants of a model on the same text.

    Per layer and variant, and as a sheet of layers × variants on one colour scale; with the raw numbers, and a page to
    flip through. Adapters stay live. Give --text or --file.
    """
    options = SimpleNamespace(**locals())
    paths = one_each(variants)
    texts = texts_of(options)
    files = write_all(options, paths, texts)
    print(f"{files} files for {len(texts)} text{'s' if len(texts) > 1 else ''} in {output_dir}")


def one_each(variants: Sequence[str]) -> dict[str, str]:
    """Label → path."""
    read = read_variants(variants)
    if several := [label for label, paths in read.items() if len(paths) > 1]:
        raise ValueError(f"two variants are called {several[0]!r}; a picture shows one model of each label.")
    return {label: path for label, (path,) in read.items()}


def texts_of(options: SimpleNamespace) -> list[tuple[str, str | None]]:
    from ..data.texts import read_texts

    if (options.text is None) == (options.file is None):
        raise ValueError("give either --text or --file.")
    if options.file is None:
        if options.limit is not None:
            raise ValueError("--limit needs --file.")
        return [(options.text, options.text_pair)]
    if options.text_pair is not None:
        raise ValueError("--text-pair needs --text; a file brings its own pairs.")
    return read_texts(options.file, options.limit)


def write_all(options: SimpleNamespace, paths: Mapping[str, str], texts: Sequence[tuple]) -> int:
    """Write everything; the number of files. What does not fit together is refused before a model is read."""
    from ..extras import require
    from ..hub.load import find_model

    require("matplotlib", extra="viz")
    sources = {label: find_model(path) for label, path in paths.items()}
    tokenizers = {label: source.tokenizer() for label, source in sources.items()}
    for number, text in enumerate(texts, start=1):
        try:
            check_text(options, sources, tokenizers, text)
        except ValueError as error:
            raise ValueError(f"text {number}: {error}") from error
    options.output_dir.mkdir(parents=True, exist_ok=True)
    width = len(str(len(texts)))
    with tempfile.TemporaryDirectory(dir=options.output_dir, prefix=".weights-") as scratch:
        # variant by variant: one model is in memory at a time, and no text's weights but those being written
        captured = {
            label: capture_all(options, source, tokenizers[label], texts, Path(scratch, str(number)))
            for number, (label, source) in enumerate(sources.items())
        }
        count = 0
        for number in range(len(texts)):
            subfolder = "." if options.file is None else f"{number + 1:0{width}}"
            variants = {label: attentions[number] for label, attentions in captured.items()}
            count += write_text(options, variants, options.output_dir / subfolder)
    return count


def check_text(options: SimpleNamespace, sources: Mapping, tokenizers: Mapping, text: tuple) -> None:
    """Refuse variants that do not share tokens, layers and heads, and choices that they do not have."""
    import numpy as np

    from ..viz.attention import attention_of, encode
    from ..viz.comparison import compare

    planned = {}
    for label, source in sources.items():
        config, tokenizer = source.config, tokenizers[label]
        encoding = encode(tokenizer, config, *text, options.max_length)
        count = len(encoding["input_ids"])
        layers, heads = (getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads"))
        if not layers or not heads:
            raise ValueError(f"{label}: a {config.model_type} model has no layers with heads of attention.")
        shape = (layers, heads, count, count)
        planned[label] = attention_of(tokenizer, encoding, np.broadcast_to(np.float32(0), shape), *text)
    compare(planned, options.layers, options.head, options.mask_special)


def capture_all(options: SimpleNamespace, source, tokenizer, texts: Sequence[tuple], scratch: Path) -> list:
    """The attention of one model on all texts; the weights stay in files below `scratch`."""
    import numpy as np
    import torch

    from ..viz.attention import capture, returning_weights

    scratch.mkdir()
    model = source.model(options.dtype)
    if torch.accelerator.is_available():
        model = model.to(torch.accelerator.current_accelerator())
    attentions = []
    with returning_weights(model):
        for number, text in enumerate(texts):
            attention = capture(model, tokenizer, *text, options.max_length)
            file = scratch / f"{number}.npy"
            np.save(file, attention.weights)
            attentions.append(replace(attention, weights=np.load(file, mmap_mode="r", allow_pickle=False)))
    return attentions


def write_text(options: SimpleNamespace, variants: Mapping, folder: Path) -> int:
    """Write the pictures, numbers and page of one text; the number of files."""
    from ..viz.comparison import compare, write_arrays, write_rows
    from ..viz.heatmap import write_pictures
    from ..viz.heatmap_page import write_page

    comparison = compare(variants, options.layers, options.head, options.mask_special)
    folder.mkdir(exist_ok=True)
    write_arrays(comparison, folder / "attention.npz")
    write_rows(comparison, folder / "attention.csv")
    write_page(comparison, folder / "attention.html", options.scale)
    formats = list(dict.fromkeys(options.format))
    return 3 + len(write_pictures(comparison, folder, formats, options.background, options.scale))

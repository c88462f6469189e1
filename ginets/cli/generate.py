"""`ginets generate MODEL …`: what a language model writes for the inputs of a task, as a file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from . import decoding
from .decoding import read_decoding
from .generate_tasks import TASKS, check_name


EXAMPLES = """
ginets generate runs/e2e --task nlg --task-name e2e --data E2E/test.csv --output e2e.jsonl
ginets generate runs/math --task math --data gsm8k/test.jsonl --output math.jsonl --workers 2
ginets generate my-gpt2 --task text --data prompts.txt --output texts.jsonl --sample --top-p 0.9
"""


def main(
    model: Annotated[str, Argument(metavar="MODEL", help="A language model or an adapter, which stays live.")],
    task: Annotated[
        Literal[tuple(TASKS)], Option(help="; ".join(f"{name}: {task.help}" for name, task in TASKS.items()) + ".")
    ],
    data: Annotated[str, Option(metavar="FILE", help="The task's published file, or one in its form.")],
    output: Annotated[Path, Option(metavar="OUT.jsonl", help="File to write: id, prompt, text on each line.")],
    task_name: Annotated[
        str | None, Option(metavar="NAME", help="Data set of --task nlg: e2e, webnlg or dart.")
    ] = None,
    predictions: Annotated[
        Path | None, Option(metavar="FILE.txt", help="Write the texts alone as well, one per line.")
    ] = None,
    limit: Annotated[int | None, Option(metavar="N", help="The first N inputs only.")] = None,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace an output, or a part of one with other settings.")
    ] = False,
    max_new_tokens: decoding.MaxNewTokens = None,
    num_beams: decoding.NumBeams = None,
    length_penalty: decoding.LengthPenalty = None,
    no_repeat_ngram: decoding.NoRepeatNgram = None,
    sample: decoding.Sample = None,
    temperature: decoding.Temperature = None,
    top_k: decoding.TopK = None,
    top_p: decoding.TopP = None,
    seed: decoding.Seed = None,
    stop_at_blank_line: decoding.StopAtBlankLine = None,
    batch_size: Annotated[int | None, Option(metavar="N", help="At most N inputs at a time.")] = None,
    batch_tokens: Annotated[
        int | None,
        Option(metavar="N", help="At most N tokens at a time, beams and new ones included.", show_default="16384"),
    ] = None,
    workers: Annotated[int, Option(metavar="N", help="On a CPU: share the work among N processes of one thread.")] = 1,
    dtype: decoding.Dtype = "float32",
) -> None:
    """Write a text for each input of a task.

    By beam search as published, greedily, or drawn. Finished texts are kept in OUTPUT.part as they come: after an
    interruption the same command goes on.
    """
    try:
        count = generate(SimpleNamespace(**locals()))
    except KeyboardInterrupt:
        typer.echo("ginets generate: stopped; the same command goes on.", err=True)
        raise typer.Exit(130) from None
    print(f"{count} texts in {output}")


def generate(options: SimpleNamespace) -> int:
    """The number of texts. What is wrong with the input is found before weights are read."""
    from ..generation.batches import BATCH_TOKENS
    from ..generation.decoding import PUBLISHED, Decoding
    from ..generation.prompts import check_lengths, make_prompts
    from ..generation.run import generate_file

    check_name(options)
    if options.limit is not None and options.limit < 1:
        raise ValueError(f"--limit is {options.limit}; it must be at least 1.")
    published = PUBLISHED.get(options.task_name or options.task, Decoding())
    decoding = read_decoding(options, published)
    tokenizer, limit = find_language_model(options.model)
    prompts = make_prompts(TASKS[options.task].read(options, tokenizer)[: options.limit], tokenizer)
    check_lengths(prompts, decoding.max_new_tokens, limit)
    generate_file(
        options.model,
        prompts,
        decoding,
        options.output,
        dtype=options.dtype,
        workers=options.workers,
        batch_size=options.batch_size,
        batch_tokens=BATCH_TOKENS if options.batch_tokens is None else options.batch_tokens,
        overwrite=options.overwrite,
        predictions=options.predictions,
    )
    return len(prompts)


def find_language_model(path: str) -> tuple:
    """Tokenizer and number of positions of the model or adapter at `path`, from its small files."""
    from ..hub.load import find_model, position_limit

    source = find_model(path)
    if source.saved_head not in (None, "CausalLM"):
        raise ValueError(f"{path!r} was saved for {source.saved_head}; give a language model (CausalLM).")
    tokenizer = source.tokenizer()
    if len(tokenizer) > source.config.vocab_size:
        raise ValueError(
            f"the tokenizer of {path!r} has {len(tokenizer)} tokens, the model {source.config.vocab_size}."
        )
    return tokenizer, position_limit(source.config)

"""`ginets generate MODEL …`: what a language model writes for the inputs of a task, as a file."""

import argparse
from pathlib import Path

from .decoding import decoding_arguments, read_decoding
from .errors import in_one_line
from .generate_tasks import TASKS, check_name


DESCRIPTION = """Write a text for each input of a task, by beam search as published, greedily, or drawn. Finished texts are
kept in OUTPUT.part as they come: after an interruption the same command goes on."""
DTYPES = ("float32", "bfloat16", "float16")


def main(arguments: list[str]) -> int:
    parser = make_parser()
    options = parser.parse_args(arguments)
    with in_one_line(parser):
        try:
            count = generate(options)
        except KeyboardInterrupt:
            parser.exit(130, f"{parser.prog}: stopped; the same command goes on.\n")
    print(f"{count} texts in {options.output}")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ginets generate", description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a language model or an adapter, which stays live: folder or Hub name")
    tasks = "; ".join(f"{name}: {task.help}" for name, task in TASKS.items())
    add("--task", choices=tuple(TASKS), required=True, help=tasks)
    add("--task-name", metavar="NAME", help="data set of --task nlg: e2e, webnlg or dart")
    add("--data", metavar="FILE", required=True, help="the task's published file, or one in its form")
    add("--output", metavar="OUT.jsonl", type=Path, required=True, help="file to write: id, prompt, text on each line")
    add("--predictions", metavar="FILE.txt", type=Path, help="write the texts alone as well, one per line")
    add("--limit", type=int, metavar="N", help="the first N inputs only")
    add("--overwrite", action="store_true", help="replace an output, or a part of one")
    decoding_arguments(parser)
    group = parser.add_argument_group("how it is computed")
    add = group.add_argument
    add("--batch-size", type=int, metavar="N", help="at most N inputs at a time")
    add("--batch-tokens", type=int, metavar="N", help="at most N tokens at a time, beams and new ones included [default: 16384]")  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="on a CPU: share the work among N processes of one thread")
    add("--dtype", choices=DTYPES, default="float32", help="to run the model in [default: float32]")
    return parser


def generate(options: argparse.Namespace) -> int:
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
    texts = generate_file(
        options.model,
        prompts,
        decoding,
        options.output,
        dtype=options.dtype,
        workers=options.workers,
        batch_size=options.batch_size,
        batch_tokens=BATCH_TOKENS if options.batch_tokens is None else options.batch_tokens,
        overwrite=options.overwrite,
    )
    if options.predictions:
        options.predictions.parent.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(texts[prompt.id].split()) + "\n" for prompt in prompts]
        options.predictions.write_text("".join(lines), encoding="utf-8")
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

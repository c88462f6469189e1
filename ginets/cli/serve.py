"""`ginets serve MODEL …`: models over HTTP."""

import os
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal

from typer import Argument, Option

from ..extras import require
from ..serve.limits import LOOPBACK, Limits
from .decoding import Dtype


EXAMPLES = """
ginets serve runs/mrpc                                       # then open http://127.0.0.1:8000/docs
ginets serve mrpc=runs/mrpc squad=runs/squad chat=my-llama   # several models, under names
ginets serve bert=my-bert --adapter one=runs/a --adapter two=runs/b
"""
KEY = "GINETS_API_KEY"


def at_most(text: str):
    return Option(metavar="N", help=f"At most: {text}")


def main(
    models: Annotated[
        list[str], Argument(metavar="MODEL", help="A model or an adapter (folder or Hub name), or NAME=MODEL.")
    ],
    adapter: Annotated[
        list[str] | None,
        Option(
            metavar="NAME=FOLDER",
            help="An adapter that requests choose as MODEL:NAME; with several models MODEL:NAME=FOLDER; may be repeated.",
        ),
    ] = None,
    host: Annotated[str, Option(help="To listen on.", show_default="127.0.0.1, this machine only")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="N", help="0: any that is free.")] = 8000,
    allowed_host: Annotated[
        list[str] | None,
        Option(
            metavar="NAME",
            help="A name under which the server may be asked, beside localhost; may be repeated.",
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="First line: a key that requests have to bring.",
            show_default=f"the variable {KEY}, or none",
        ),
    ] = None,
    dtype: Dtype = "float32",
    threads: Annotated[
        int | None, Option(metavar="N", help="Of torch, for each model.", show_default="torch's choice")
    ] = None,
    template: Annotated[
        Literal["auto", "chat", "alpaca"],
        Option(
            help="How conversations are written; auto: the tokenizer's chat template if there is one, else Alpaca's."
        ),
    ] = "auto",
    drain_seconds: Annotated[
        float, Option(metavar="N", help="On SIGTERM, go on taking requests so long, while /ready says no.")
    ] = 1.0,
    log_texts: Annotated[bool, Option("--log-texts", help="Write what users ask into the log.")] = False,
    max_body_bytes: Annotated[int, at_most("bytes of a request.")] = Limits.body_bytes,
    max_inputs: Annotated[int, at_most("texts in a request.")] = Limits.inputs,
    max_input_tokens: Annotated[int, at_most("tokens of a text or prompt.")] = Limits.input_tokens,
    max_new_tokens: Annotated[int, at_most("tokens written to a prompt.")] = Limits.new_tokens,
    max_attention_tokens: Annotated[
        int, at_most("tokens of a text whose attention is asked for.")
    ] = Limits.attention_tokens,
    max_concurrency: Annotated[int, at_most("requests in progress, waiting ones included.")] = Limits.concurrency,
    max_batch_rows: Annotated[
        int, at_most("texts that a model is given together; 1: one at a time.")
    ] = Limits.batch_rows,
    max_batch_tokens: Annotated[int, at_most("and their tokens, padding included.")] = Limits.batch_tokens,
    max_seconds: Annotated[float, at_most("seconds for a request.")] = Limits.seconds,
) -> None:
    """Serve models over HTTP.

    Text classification, question answering, token classification, fill-mask, and text in the form of OpenAI's API; the
    head of each model decides. The pages at /docs say what can be asked.
    """
    options = SimpleNamespace(**{**locals(), "adapter": adapter or [], "allowed_host": allowed_host or []})
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, extra="serve")
    run(options)


def run(options: SimpleNamespace) -> None:
    """What is wrong with the options is found before weights are read."""
    from transformers.utils import logging

    from ..serve.app import create_app
    from ..serve.log import log_json
    from ..serve.opening import open_model, read_names
    from ..serve.server import listen, serve
    from ..serve.service import Service
    from ..serve.writing import Writing

    try:
        limits = Limits(**{each.name: getattr(options, f"max_{each.name}") for each in fields(Limits)})
    except ValueError as error:  # it begins with the name
        name, _, rest = str(error).partition(" ")
        raise ValueError(f"--max-{name.replace('_', '-')} {rest}") from error
    check(options)
    try:  # it is taken once the models are there, minutes later
        listen(options.host, options.port).close()
    except OSError as error:
        raise ValueError(f"--host {options.host} --port {options.port}: {error.strerror or error}.") from error
    key = read_key(options.api_key_file)
    names = read_names(options.models, options.adapter)
    log_json(options.log_texts)
    logging.disable_progress_bar()
    models = [open_model(name, path, adapters, limits, options.dtype) for name, (path, adapters) in names.items()]
    for model in models:
        if isinstance(model, Writing):
            model.template = options.template
    service = Service(models, limits, options.threads, options.log_texts)
    hosts = {*LOOPBACK, *options.allowed_host} | ({options.host} if options.host in LOOPBACK else set())
    serve(create_app(service, hosts, key), options.host, options.port, options.drain_seconds)


def check(options: SimpleNamespace) -> None:
    if options.threads is not None and options.threads < 1:
        raise ValueError(f"--threads is {options.threads}; it must be at least 1.")
    if not 0 <= options.port < 65536:
        raise ValueError(f"--port is {options.port}; it must be from 0 to 65535.")
    if not 0 <= options.drain_seconds < 3600:
        raise ValueError(f"--drain-seconds is {options.drain_seconds}; it must be from 0 to 3600.")
    if options.host not in LOOPBACK and not options.allowed_host:
        raise ValueError(
            f"--host is {options.host}, which others can reach: name the hosts they ask for with --allowed-host."
        )


def read_key(file: Path | None) -> str | None:
    """Not an option: options can be seen by everyone on the machine."""
    if file is None:
        return os.environ.get(KEY) or None
    key = file.read_text(encoding="utf-8").partition("\n")[0].strip()
    if not key:
        raise ValueError(f"--api-key-file {file} is empty.")
    return key

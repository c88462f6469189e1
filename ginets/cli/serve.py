"""`ginets serve MODEL …`: models over HTTP."""

import argparse
import os
from dataclasses import fields
from pathlib import Path

from ..extras import require
from .errors import in_one_line


DESCRIPTION = """Serve models over HTTP: text classification, question answering, token classification, fill-mask, and
text in the form of OpenAI's API; the head of each model decides. The pages at /docs say what can be asked."""
DTYPES = ("float32", "bfloat16", "float16")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KEY = "GINETS_API_KEY"
LIMITS = {
    "body_bytes": "of a request",
    "inputs": "texts in a request",
    "input_tokens": "of a text or prompt",
    "new_tokens": "written to a prompt",
    "attention_tokens": "of a text whose attention is asked for",
    "concurrency": "requests in progress, waiting ones included",
    "batch_rows": "texts that a model is given together; 1: one at a time",
    "batch_tokens": "and their tokens, padding included",
    "seconds": "for a request",
}


def main(arguments: list[str]) -> int:
    parser = make_parser()
    options = parser.parse_args(arguments)
    with in_one_line(parser):
        for module in ("fastapi", "uvicorn", "prometheus_client"):
            require(module, extra="serve")
        run(options)
    return 0


def make_parser() -> argparse.ArgumentParser:
    from ..serve.limits import Limits

    parser = argparse.ArgumentParser("ginets serve", description=DESCRIPTION, allow_abbrev=False)
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help="a model or an adapter (folder or Hub name), or NAME=MODEL")
    add("--adapter", metavar="NAME=FOLDER", action="append", default=[], help="an adapter that requests choose as MODEL:NAME; with several models MODEL:NAME=FOLDER; may be repeated")  # fmt: skip
    add("--host", default="127.0.0.1", help="to listen on [default: 127.0.0.1, this machine only]")
    add("--port", type=int, default=8000, help="0: any that is free [default: 8000]")
    add("--allowed-host", metavar="NAME", action="append", default=[], help="a name under which the server may be asked, beside localhost; may be repeated")  # fmt: skip
    add("--api-key-file", metavar="FILE", type=Path, help=f"first line: a key that requests have to bring [default: the variable {KEY}, or none]")  # fmt: skip
    add("--dtype", choices=DTYPES, default="float32", help="to run the models in [default: float32]")
    add("--threads", type=int, metavar="N", help="of torch, for each model [default: torch's choice]")
    add("--template", choices=("auto", "chat", "alpaca"), default="auto", help="how conversations are written [default: the tokenizer's chat template if there is one, else Alpaca's]")  # fmt: skip
    add("--drain-seconds", type=float, default=1.0, metavar="N", help="on SIGTERM, go on taking requests so long, while /ready says no [default: 1]")  # fmt: skip
    add("--log-texts", action="store_true", help="write what users ask into the log")
    group = parser.add_argument_group("at most")
    for each in fields(Limits):
        group.add_argument(f"--max-{each.name.replace('_', '-')}", type=each.type, default=each.default, metavar="N", help=f"{LIMITS[each.name]} [default: {each.default}]")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> None:
    """What is wrong with the options is found before weights are read."""
    from transformers.utils import logging

    from ..serve.app import create_app
    from ..serve.engine import open_model, read_names
    from ..serve.limits import Limits
    from ..serve.log import log_json
    from ..serve.server import serve
    from ..serve.service import Service
    from ..serve.writing import Writing

    limits = Limits(**{each.name: getattr(options, f"max_{each.name}") for each in fields(Limits)})
    check(options)
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


def check(options: argparse.Namespace) -> None:
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

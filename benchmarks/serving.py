"""`ginets serve` under load: dynamic batching against one text at a time, over HTTP on loopback.

    python benchmarks/serving.py --output benchmarks/results/serving.json
    taskset -c 0 python benchmarks/serving.py --soak 1800 --lengths 32 --threads 1 \
        --output benchmarks/results/serving_soak.json        # 80 % of what it can do, on one core; memory twice a minute

Each side runs at each number of threads, in turn, round by round; the best of its thread counts counts. Clients are
connections that ask again as soon as they are answered. Without `--model` a gated BERT of MiniLM's size is built, with
random weights: time does not depend on them.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import psutil
from transformers import BertTokenizer

from ginets import BertGIConfig, BertGIForSequenceClassification
from paired import environment


SIDES = {"one at a time": 1, "batched": 32}
IDLE = 4.0  # seconds after which a client opens a new connection: servers close those that are silent
WORDS = [f"w{number}" for number in range(1000)]


def build(folder: str) -> str:
    """A gated BERT for classification with MiniLM's shape."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    BertTokenizer(vocab={word: at for at, word in enumerate(words)}).save_pretrained(folder)
    shape = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    config = BertGIConfig(vocab_size=len(words), **shape, gi_query_side=True, gi_key_side=True, pad_token_id=0)
    BertGIForSequenceClassification(config).save_pretrained(folder)
    return folder


@contextmanager
def server(model: str, rows: int, threads: int):
    """Port and process of a server that is ready."""
    options = ["--port", "0", "--threads", str(threads), "--max-batch-rows", str(rows), "--max-concurrency", "1024"]
    command = [sys.executable, "-m", "ginets.cli", "serve", f"m={model}", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    with tempfile.TemporaryFile("w+") as rest:
        port = None
        for line in process.stderr:
            message = json.loads(line)
            port = int(message["url"].rpartition(":")[2]) if "url" in message else port
            if message["message"] == "ready":
                break
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=rest)  # a full pipe would stop the server
        try:
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()
            drain.wait()


def request(length: int, seed: int) -> bytes:
    """Texts of 60–100 % of `length` tokens, two of them special."""
    draw = random.Random(seed)
    words = draw.choices(WORDS, k=draw.randint(max(1, int(0.6 * length)), length) - 2)
    body = json.dumps({"inputs": " ".join(words)}).encode()
    head = f"POST /v1/classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def client(port: int, length: int, end: float, pause: float, seen: list[tuple[float, int]], seed: int) -> None:
    """Ask until `end`; `pause`: mean seconds between questions. A lean client: it shares the cores with the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    draw = random.Random(seed)
    while time.perf_counter() < end:
        wait = draw.expovariate(1 / pause) if pause else 0
        await asyncio.sleep(wait)
        if wait > IDLE:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        start = time.perf_counter()
        writer.write(request(length, draw.getrandbits(30)))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0]))
        seen.append((time.perf_counter() - start, int(head.split()[1])))
    writer.close()


def load(port: int, length: int, clients: int, seconds: float, pause: float = 0.0) -> dict:
    """Requests/s, latency and errors of so many clients for so long."""

    async def run() -> list[tuple[float, int]]:
        seen: list[tuple[float, int]] = []
        end = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, length, end, pause, seen, seed) for seed in range(clients)))
        return seen

    start = time.perf_counter()
    seen = asyncio.run(run())
    times = np.array([latency for latency, _ in seen]) * 1000
    return {
        "requests_per_s": round(len(seen) / (time.perf_counter() - start), 1),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p99_ms": round(float(np.percentile(times, 99)), 1),
        "errors": sum(status != 200 for _, status in seen),
    }


def compare(model: str, options: argparse.Namespace) -> list[dict]:
    """Rows of figures, and the ratio of the best of each side."""
    rows = []
    with ExitStack() as stack:
        servers = {
            (side, threads): stack.enter_context(server(model, SIDES[side], threads))[0]
            for side, threads in product(SIDES, options.threads)
        }
        for length, clients in product(options.lengths, options.clients):
            rounds = [
                {key: load(port, length, clients, options.seconds) for key, port in servers.items()}
                for _ in range(options.rounds)
            ]
            median = {
                key: {name: statistics.median(each[key][name] for each in rounds) for name in rounds[0][key]}
                for key in servers
            }
            best = {
                side: max((key for key in servers if key[0] == side), key=lambda key: median[key]["requests_per_s"])
                for side in SIDES
            }
            one, batched = (median[best[side]]["requests_per_s"] for side in SIDES)
            figures = {side: {"threads": key[1], **median[key]} for side, key in best.items()}
            rows.append({"tokens": length, "clients": clients, **figures, "ratio": round(batched / one, 2)})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def soak(model: str, options: argparse.Namespace) -> dict:
    """80 % of the load it can bear, for long: memory must not grow."""
    length, clients, threads = options.lengths[0], options.clients[0], options.threads[-1]
    with server(model, SIDES["batched"], threads) as (port, process):
        top = load(port, length, clients, options.seconds)
        goal = 0.8 * top["requests_per_s"]
        pause = clients / goal - top["p50_ms"] / 1000 / 2
        parts, memory = [], []
        end = time.perf_counter() + options.soak
        while time.perf_counter() < end:
            parts.append(load(port, length, clients, min(30, options.soak), max(0.0, pause)))
            memory.append(round(process.memory_info().rss / 2**20, 1))
            # a client's turn is its pause and the latency, which is not known before
            pause += clients / goal - clients / parts[-1]["requests_per_s"]
    return {
        "tokens": length,
        "clients": clients,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "saturated": top,
        "mean_requests_per_s": round(statistics.mean(each["requests_per_s"] for each in parts), 1),
        "worst_p99_ms": max(each["p99_ms"] for each in parts),
        "errors": sum(each["errors"] for each in parts),
        "rss_mib": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", help="for classification [default: built]")
    add("--lengths", type=int, nargs="+", default=[16, 32, 128], help="of the longest texts, in tokens")
    add("--clients", type=int, nargs="+", default=[32])
    add("--threads", type=int, nargs="+", default=[1, 2], help="of torch, to choose the best from")
    add("--seconds", type=float, default=10.0, help="of each measurement")
    add("--rounds", type=int, default=3)
    add("--soak", type=float, metavar="SECONDS", help="instead: 80 %% load for so long")
    add("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or build(folder)
        figures = {"soak": soak(model, options)} if options.soak else {"rows": compare(model, options)}
    settings = {name: value for name, value in vars(options).items() if name != "output"}
    report = figures | {"settings": settings, "environment": environment("cpu")}
    print(json.dumps(report, indent=1))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

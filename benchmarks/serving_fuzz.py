"""Requests made from the OpenAPI schema of a running `ginets serve`, malformed ones and such that fit the schema.

    ginets serve seq=MODEL qa=MODEL chat=MODEL --port 8123
    python benchmarks/serving_fuzz.py --url http://127.0.0.1:8123 --requests 10000 --out benchmarks/results/serving_fuzz.json

`schemathesis` draws them: so many malformed ones, and a tenth as many more that the schema allows, spread over all POST
routes. What counts is that none ends with 5xx, and that the server is ready afterwards; the report has the status codes.
Needs `pip install schemathesis`.
"""

import urllib.request
from collections import Counter
from importlib.metadata import version

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from paired import arguments, report


BATCH = 100  # requests of one seed: later draws of a seed grow slowly in kind


def send(operation, mode: GenerationMode, number: int, first_seed: int, failures: list[str]) -> Counter:
    """Send so many requests to a route; status → how many."""
    statuses: Counter = Counter()
    strategy = operation.as_strategy(generation_mode=mode)
    for start in range(0, number, BATCH):

        @seed(first_seed + start)
        @settings(
            max_examples=min(BATCH, number - start), database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=strategy)
        def ask(case):
            status = case.call().status_code
            statuses[status] += 1
            if status >= 500:
                failures.append(case.as_curl_command())

        ask()
    return statuses


def main():
    options = arguments(__doc__.splitlines()[0], url="http://127.0.0.1:8123", requests=10000)
    schema = schemathesis.openapi.from_url(f"{options.url}/openapi.json")
    routes = [found.ok() for found in schema.get_all_operations() if found.ok().method.upper() == "POST"]
    figures, failures = {}, []
    for mode, wanted in (
        (GenerationMode.NEGATIVE, options.requests),
        (GenerationMode.POSITIVE, options.requests // 10),
    ):
        each = -(-wanted // len(routes))
        for place, route in enumerate(routes):
            statuses = send(route, mode, each, options.seed + 100_000 * place, failures)
            figures[f"{mode.value} {route.label}"] = {str(code): count for code, count in sorted(statuses.items())}
            print(mode.value, route.label, dict(statuses), flush=True)
    with urllib.request.urlopen(f"{options.url}/ready") as answer:
        ready = answer.status
    total = sum(sum(each.values()) for each in figures.values())
    report(options, {"requests": total, "server_errors": len(failures), "ready_afterwards": ready, "statuses": figures,
                     "schemathesis": version("schemathesis"), "failures": failures[:20]})  # fmt: skip


if __name__ == "__main__":
    main()

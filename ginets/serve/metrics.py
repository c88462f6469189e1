"""Figures for Prometheus, of one application."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    def __init__(self):
        self.registry = CollectorRegistry()
        own = {"registry": self.registry}
        self.requests = Counter("ginets_requests", "answered requests", ("path", "status"), **own)
        self.latency = Histogram("ginets_request_seconds", "from request to end of answer", ("path",), buckets=SECONDS, **own)  # fmt: skip
        self.in_progress = Gauge("ginets_requests_in_progress", "waiting and running requests", **own)
        self.queue = Gauge("ginets_queue_rows", "texts that wait for a model", ("model",), **own)
        self.queued = Histogram("ginets_queue_seconds", "of a text before its batch begins", ("model",), buckets=SECONDS, **own)  # fmt: skip
        self.batch_rows = Histogram("ginets_batch_rows", "texts in a batch", ("model",), buckets=ROWS, **own)
        self.batch_seconds = Histogram("ginets_batch_seconds", "of a batch", ("model",), buckets=SECONDS, **own)
        self.tokens = Counter("ginets_tokens", "tokens read and written", ("model", "direction"), **own)

    def batch(self, model: str, jobs: list, rows: int, seconds: float, now: float) -> None:
        self.batch_rows.labels(model).observe(rows)
        self.batch_seconds.labels(model).observe(seconds)
        for job in jobs:
            self.queued.labels(model).observe(max(0.0, now - seconds - job.since))

    def text(self) -> bytes:
        return generate_latest(self.registry)

"""What a request may ask for, and what one that asks for more is told."""

from dataclasses import dataclass, fields
from math import inf


LOOPBACK = ("127.0.0.1", "localhost", "::1")  # this machine, which no other can reach


@dataclass(frozen=True)
class Limits:
    """Args:
    body_bytes: of a request.
    inputs: texts in a request.
    input_tokens: of a text or prompt, special tokens included; models with fewer positions take fewer.
    new_tokens: that are written to a prompt.
    attention_tokens: of a text whose attention is asked for; the answer grows with their square.
    concurrency: requests that are in progress, waiting ones included.
    batch_rows: texts that a model is given together.
    batch_tokens: and their tokens, padding and written ones included; one text is always taken.
    seconds: that a request may take to come, then its answer to be made, then a piece of it to be taken.

    Raises:
        ValueError: one is not a number above zero.
    """

    body_bytes: int = 2**20
    inputs: int = 64
    input_tokens: int = 4096
    new_tokens: int = 1024
    attention_tokens: int = 128
    concurrency: int = 128
    batch_rows: int = 32
    batch_tokens: int = 8192
    seconds: float = 60.0

    def __post_init__(self):
        for each in fields(self):
            if not 0 < (value := getattr(self, each.name)) < inf:
                raise ValueError(f"{each.name} is {value}; it must be above 0, and finite.")


# status → type of error, in the words of OpenAI's API; others: by hundreds
TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class RequestError(Exception):
    """A request that gets no answer; the message says what to do.

    Args:
        code: for programs.
        field: of the request that is at fault.
    """

    def __init__(self, status: int, message: str, code: str | None = None, field: str | None = None):
        super().__init__(message)
        self.status, self.code, self.field = status, code, field

    def body(self) -> dict:
        kind = TYPES.get(self.status) or ("server_error" if self.status >= 500 else "invalid_request_error")
        # a request may bring half a surrogate pair, which no answer can carry
        message = str(self).encode("utf-8", "replace").decode()
        return {"error": {"message": message, "type": kind, "param": self.field, "code": self.code}}

"""One JSON object per line, without the texts of users."""

import json
import logging
import sys
import time
import traceback


class JsonLines(logging.Formatter):
    """Fields given as `extra={"fields": {…}}` stand beside the message.

    Of an exception its type and places are written, not its message, which may quote a text; `texts` allows it.
    """

    def __init__(self, texts: bool = False):
        super().__init__()
        self.texts = texts

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            kind, error, trace = record.exc_info
            places = [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_tb(trace)]
            line |= {"error": kind.__name__, "places": places} | ({"details": str(error)} if self.texts else {})
        return json.dumps(line, ensure_ascii=True, default=str)


def log_json(texts: bool = False, stream=None) -> None:
    """All logs of the process as JSON lines on `stream`, by default the error stream."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines(texts))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    for name in ("transformers", "uvicorn", "uvicorn.error"):  # they bring handlers of their own
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in ("httpx", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)

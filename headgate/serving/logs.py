"""Structured logs on stderr: one JSON object a line, never a message's text.

What a request was about is told by `extra={"request": {...}}`; of an exception, its type and where it was raised, but not its words,
which may quote a text.
"""

import logging
import os
import sys
import time
import traceback
from typing import Any

import orjson

MAX_REFUSALS_A_SECOND = 10


class JsonLines(logging.Formatter):
    """A log record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, Any] = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "pid": os.getpid(),
            "message": record.getMessage(),
            **getattr(record, "request", {}),
        }
        if record.exc_info and record.exc_info[0]:
            frames = traceback.extract_tb(record.exc_info[2])
            told["exception"] = record.exc_info[0].__name__
            told["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return orjson.dumps(told, default=str).decode()


def log_to_stderr() -> None:
    """Send every log record to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Bounded:
    """Lets at most so many lines a second through, and counts the others."""

    def __init__(self, most: int = MAX_REFUSALS_A_SECOND) -> None:
        self._most, self._second, self._told = most, -1, 0
        self.left_out = 0

    def allows(self, now: float) -> bool:
        """Whether one more line may be written now."""
        if int(now) != self._second:
            self._second, self._told = int(now), 0
        self._told += 1
        if self._told > self._most:
            self.left_out += 1
            return False
        return True

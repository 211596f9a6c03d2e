"""Structured logs on stderr: one JSON object a line, never a message's text.

What a request was about is told by `extra={"request": {...}}`; of an exception, its type and where it was raised, but not its words,
which may quote a text.
"""

import logging
import os
import threading
import time
import traceback
from queue import SimpleQueue
from typing import Any

import orjson

MAX_REFUSALS_A_SECOND = 10
MAX_WAITING = 1_000
CLOSE_TIMEOUT_S = 1.0


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


class Beside(logging.Handler):
    """Writes to stderr on a thread of its own: a reader of it that stands still stops nothing else, it only misses lines."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._pid = -1

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over one line without waiting."""
        if self._pid != os.getpid():  # a fork has no threads
            self._pid, self._lines = os.getpid(), SimpleQueue()
            threading.Thread(target=self._write_all, args=(self._lines,), name="logs", daemon=True).start()
        if self._lines.qsize() < MAX_WAITING:
            self._lines.put(f"{self.format(record)}\n")

    def close(self) -> None:
        """Wait a little for what is not written yet."""
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        while self._pid == os.getpid() and not self._lines.empty() and time.monotonic() < deadline:
            time.sleep(0.01)
        super().close()

    def _write_all(self, lines: "SimpleQueue[str]") -> None:
        while True:
            data = lines.get().encode()
            while data:
                data = data[os.write(2, data) :]


def log_to_stderr() -> None:
    """Send every log record to stderr as JSON."""
    handler = Beside()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Bounded:
    """Lets at most so many lines a second through, and counts the others."""

    def __init__(self, most: int = MAX_REFUSALS_A_SECOND) -> None:
        self._most, self._second, self._told = most, -1, 0
        self._left_out = 0

    def allows(self, now: float) -> bool:
        """Whether one more line may be written now."""
        if int(now) != self._second:
            self._second, self._told = int(now), 0
        self._told += 1
        if self._told > self._most:
            self._left_out += 1
            return False
        return True

    def left_out(self, now: float) -> int:
        """How many lines were not written and not yet asked for, once their second is over."""
        if int(now) == self._second:
            return 0
        found, self._left_out = self._left_out, 0
        return found

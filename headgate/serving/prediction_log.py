"""The prediction log: JSON Lines on local disk, written beside the answers and never in their way.

Files are those of `log_files`; a separate process (`headgate ship-log`) ships them to the lake.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from headgate.serving.answers import Answer
from headgate.serving.log_files import MAX_FILE_BYTES, LogFiles

MAX_QUEUED = 100_000
CLOSE_TIMEOUT_S = 10.0
GATHER_S = 0.05
AT_ONCE = 2_000

logger = logging.getLogger(__name__)


class Entry(NamedTuple):
    """One given answer: what differs from one time that it is given to the next."""

    at_ns: int
    prediction_id: bytes
    cohort: str
    latency_s: float
    cached: bool
    answer: Answer
    traceparent: str = ""
    mirror: str = ""  # the id that a router gave to a request and to its copy for the challenger


class PredictionLog:
    """A bounded queue and a thread that writes it down; what does not fit is dropped and counted."""

    def __init__(
        self,
        folder: Path | None,
        model: str | None = None,
        release: str | None = None,
        max_queued: int = MAX_QUEUED,
        max_file_bytes: int = MAX_FILE_BYTES,
        keep_bytes: int | None = None,
    ) -> None:
        self._queue: deque[Entry] = deque()
        self._max_queued = max_queued
        self._same = b'"model":%b,"release":%b' % (orjson.dumps(model), orjson.dumps(release))
        self.dropped = 0
        self.on = folder is not None
        self._some, self._ended = threading.Event(), False
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._files = LogFiles(folder, "predictions", max_file_bytes, keep_bytes)
        self._thread = threading.Thread(target=self._write_all, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, entry: Entry) -> None:
        """Hand over one entry without waiting."""
        if not self.on:
            return
        if len(self._queue) >= self._max_queued:
            self.dropped += 1
            return
        self._queue.append(entry)
        if not self._some.is_set():
            self._some.set()

    def close(self) -> None:
        """Write what is queued, then end."""
        if self.on:
            self._ended = True
            self._some.set()
            self._thread.join(CLOSE_TIMEOUT_S)

    def _write_all(self) -> None:
        ended = False
        while not ended:
            self._some.wait()
            self._some.clear()
            ended = self._ended
            while batch := self._next():
                self._write(batch)
            if not ended:
                time.sleep(GATHER_S)
        self._files.close()

    def _next(self) -> list[Entry]:
        found: list[Entry] = []
        with suppress(IndexError):
            while len(found) < AT_ONCE:
                found.append(self._queue.popleft())
        return found

    def _write(self, entries: Sequence[Entry]) -> None:
        try:
            self._files.append(b"".join(self._lines(entries)))
        except OSError as fault:
            self.dropped += len(entries)
            logger.error("prediction log: %d records lost, %s", len(entries), fault)

    def _lines(self, entries: Iterable[Entry]) -> Iterable[bytes]:
        second, start = -1, ""
        for at_ns, identifier, cohort, latency_s, cached, answer, traceparent, mirror in entries:
            millisecond = at_ns // 1_000_000
            if millisecond // 1_000 != second:
                second = millisecond // 1_000
                start = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            told = f',"traceparent":"{traceparent}"' if traceparent else ""
            if mirror:
                told += f',"mirror":"{mirror}"'
            yield b'{"ts":"%b.%03dZ","prediction_id":"%b",%b,"cohort":"%b","latency_ms":%.3f,"cached":%b,%b%b}\n' % (
                start.encode(),
                millisecond % 1_000,
                identifier,
                self._same,
                cohort.encode(),
                latency_s * 1_000,
                b"true" if cached else b"false",
                answer.logged,
                told.encode(),
            )

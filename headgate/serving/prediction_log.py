"""The prediction log: JSON Lines on local disk, written beside the answers and never in their way.

One file a day and process, `predictions-YYYYMMDD-PID.jsonl`; a separate process ships them to the lake.
"""

import hashlib
import logging
import os
import queue
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from headgate.serving.config import LogText

MAX_QUEUED = 10_000
CLOSE_TIMEOUT_S = 10.0

logger = logging.getLogger(__name__)


class PredictionLog:
    """A bounded queue and a thread that writes it down; what does not fit is dropped and counted."""

    def __init__(self, folder: Path | None, max_queued: int = MAX_QUEUED) -> None:
        self._folder = folder
        self._queue: queue.Queue[Mapping[str, Any] | None] = queue.Queue(max_queued)
        self.dropped = 0
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._write_all, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, record: Mapping[str, Any]) -> None:
        """Hand over one record without waiting."""
        if self._folder is None:
            return
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, then end."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=CLOSE_TIMEOUT_S)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write_all(self) -> None:
        ended = False
        while not ended:
            batch = [self._queue.get(), *self._waiting()]
            ended = None in batch
            self._write([record for record in batch if record is not None])

    def _waiting(self) -> list[Mapping[str, Any] | None]:
        found: list[Mapping[str, Any] | None] = []
        while len(found) < 1_000:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return found

    def _write(self, records: list[Mapping[str, Any]]) -> None:
        if not records or self._folder is None:
            return
        file = self._folder / f"predictions-{time.strftime('%Y%m%d', time.gmtime())}-{os.getpid()}.jsonl"
        try:
            with file.open("ab") as opened:
                opened.write(b"".join(orjson.dumps(record) + b"\n" for record in records))
        except OSError as fault:
            self.dropped += len(records)
            logger.error("prediction log: %d records lost, %s cannot be written: %s", len(records), file, fault.strerror)


def text_field(policy: LogText, normalised: str) -> dict[str, str]:
    """What the log keeps of a text: nothing, its sha256, or all of it."""
    if policy == "none":
        return {}
    return {"text": normalised} if policy == "full" else {"hash": hashlib.sha256(normalised.encode()).hexdigest()}


def now() -> str:
    """UTC with milliseconds, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

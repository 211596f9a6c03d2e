"""Production's clients: mails at a steady rate from the first release on, each answer and each failure one line of a log.

Nothing is tried again: what fails is counted as failed. No two mails are the same, so that no answer comes from the cache.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from headgate.record import Record

AT_ONCE = 16
ANSWER_S = 30.0


class Request(Record):
    """One request: when it was sent (seconds since 1970), how long the answer took, and by which release it was answered."""

    at: float
    ms: float
    status: int = 0
    release: str = ""
    label: str | None = None
    long: bool = False
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the client got no good answer."""
        return self.status != 200


class Traffic:
    """Sends from a thread of its own while it is open; silent while `address` knows none."""

    def __init__(self, address: Callable[[], str | None], log: Path, texts: Sequence[str], rate_per_s: float = 16.0) -> None:
        self.address, self.log, self.texts, self.rate_per_s = address, log, texts, rate_per_s
        self.long_share = 0.0
        self._random = random.Random(time.time_ns())  # noqa: S311 - picks texts, protects nothing
        self._over, self._lock = threading.Event(), threading.Lock()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._thread = threading.Thread(target=self._send_all, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing any more, and wait for the answers under way."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _send_all(self) -> None:
        due = time.monotonic()
        with httpx.Client(timeout=ANSWER_S, trust_env=False) as http, ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = max(due + 1 / self.rate_per_s, time.monotonic() - 1)
                if (address := self.address()) is None:
                    due = time.monotonic() + 1
                    continue
                self._places.acquire()
                text, long = self._text()
                pool.submit(self._send, http, address, text, long)

    def _text(self) -> tuple[str, bool]:
        number, long = self._random.randrange(10**6), self._random.random() < self.long_share
        parts = self._random.sample(list(self.texts), 9 if long else 1)
        return f"{' '.join(parts)} (ref {number:06d})", long

    def _send(self, http: httpx.Client, address: str, text: str, long: bool) -> None:
        try:
            self._note(ask(http, address, text, long))
        finally:
            self._places.release()

    def _note(self, request: Request) -> None:
        with self._lock, self.log.open("ab") as file:
            file.write(request.to_bytes() + b"\n")


def ask(http: httpx.Client, address: str, text: str, long: bool = False) -> Request:
    """One request and what became of it."""
    began, start = time.time(), time.perf_counter()
    try:
        answer = http.post(f"{address}/invocations", json={"instances": [{"text": text}]})
        ms = 1000 * (time.perf_counter() - start)
        if answer.status_code != 200:
            return Request(at=began, ms=ms, status=answer.status_code, long=long, error=answer.text[:200])
        said = answer.json()
        release, label = str(said["model"]["release"]), said["predictions"][0]["label"]
        return Request(at=began, ms=ms, status=200, release=release, label=label, long=long)
    except (httpx.HTTPError, ValueError, KeyError) as fault:
        return Request(at=began, ms=1000 * (time.perf_counter() - start), long=long, error=f"{type(fault).__name__}: {fault}")


def read_log(log: Path) -> list[Request]:
    """Every request in the order in which it was sent; a line that a kill cut off is left out."""
    found = []
    for line in log.read_bytes().splitlines() if log.exists() else []:
        try:
            found.append(Request.model_validate(json.loads(line)))
        except ValueError:
            continue
    return sorted(found, key=lambda request: request.at)

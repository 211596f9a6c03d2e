"""Probe requests for endpoints without traffic of their own, so that a canary has something to answer."""

import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from deployments.target import Target
from headgate.errors import HeadgateError

AT_ONCE = 8


class Probe:
    """Sends regression texts through an endpoint's split at a rate, from a thread of its own, while it is open."""

    def __init__(self, target: Target, endpoint: str, rate_per_s: float, texts: Sequence[str]) -> None:
        self.target, self.endpoint, self.rate_per_s, self.texts = target, endpoint, rate_per_s, texts
        self.random = random.Random(0)  # noqa: S311 - picks texts, protects nothing
        self._over = threading.Event()
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._thread = threading.Thread(target=self._send_all, name="probe", daemon=True)

    def __enter__(self) -> Self:
        if self.rate_per_s and self.texts:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wait(self, seconds: float) -> None:
        """Let this much time pass."""
        time.sleep(seconds)

    def _send_all(self) -> None:
        """At the set rate, however long the answers take; where AT_ONCE are under way the next one waits."""
        due = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                self._places.acquire()
                pool.submit(self._send, self.random.choice(self.texts))
                due = max(due + 1 / self.rate_per_s, time.monotonic() - 1)

    def _send(self, text: str) -> None:
        """One request. A failed one is counted where it fails; before the first deploy there is no endpoint to ask."""
        try:
            self.target.invoke(self.endpoint, {"instances": [{"text": text}]})
        except HeadgateError:
            self._over.wait(0.2)
        finally:
            self._places.release()

"""Memory of the serving processes while a load test runs, read from each model's own GET /metrics."""

import http.client
import re
import time
from collections.abc import Mapping
from threading import Event, Thread
from types import TracebackType
from urllib.parse import urlsplit

import numpy as np
from scipy.stats import theilslopes

from headgate.evaluation.load_report import MemoryUse, Role
from headgate.settings import LoadTest

MOST_SAMPLES = 600
SHOWN = 60
LEAST_SAMPLES = 5
ANSWER_S = 5.0

_gauge = re.compile(rb"^process_resident_memory_bytes(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


class MemoryWatch:
    """Asks for each model's resident memory twice a second, or less often in a long test, from a thread of its own."""

    def __init__(self, url: str, cohorts: Mapping[Role, str | None], settings: LoadTest) -> None:
        self._url, self._cohorts = url, cohorts
        self.every_s = max(0.5, settings.duration_s / MOST_SAMPLES)
        self.samples: dict[Role, list[tuple[float, float]]] = {role: [] for role in cohorts}
        self._ended = Event()
        self._thread = Thread(target=self._watch, name="memory watch", daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self.every_s):
            for role, cohort in self._cohorts.items():
                if (found := resident_bytes(self._url, cohort)) is not None:
                    self.samples[role].append((time.time(), found))


def resident_bytes(url: str, cohort: str | None) -> float | None:
    """Bytes that one model's serving processes hold; None where the endpoint does not tell."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ANSWER_S)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/metrics", headers={"X-Headgate-Cohort": cohort} if cohort else {})
        answer = connection.getresponse()
        found = _gauge.findall(answer.read()) if answer.status == 200 else []
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return sum(map(float, found)) if found else None


def memory_use(samples: Mapping[Role, list[tuple[float, float]]], began: float, settings: LoadTest) -> tuple[MemoryUse, ...]:
    """Growth of each model's memory between the warm-up and the end of the part with the cache off, which began at `began` (UNIX time).

    The slope is the median over all pairs of samples (Theil 1950, Sen 1968), so that single jumps are no leak.
    """
    first, last = began + settings.warm_up_s, began + settings.warm_up_s + settings.duration_s
    found = []
    for role, taken in samples.items():
        within = np.array([one for one in taken if first <= one[0] <= last])
        if len(within) >= LEAST_SAMPLES:
            slope, level, *_ = theilslopes(within[:, 1], within[:, 0] - first)
            shown = within[:: max(1, len(within) // SHOWN), 1] / 1e6
            growth = float(slope) * settings.duration_s / float(level)  # `level` is where the line stands after the warm-up
            found.append(MemoryUse(role=role, samples_mb=tuple(np.round(shown, 2).tolist()), growth=growth))
    return tuple(found)

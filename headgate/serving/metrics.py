"""What Prometheus (or any reader of its text format) sees of one server, whichever of its workers is asked.

A worker counts in a plain dict and writes it on the board twice a second; whoever is asked adds up what is there.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import accumulate

import orjson

from headgate.serving.answers import Answer
from headgate.serving.board import Board

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SCORES = tuple(step / 20 for step in range(1, 21))
BATCHES = (1, 2, 4, 8, 16, 32)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

Key = tuple[str | int, ...]
Counts = Mapping[Key, float]

_COUNTERS = {
    "requests": ("headgate_requests", "Requests to /invocations by HTTP status", ("cohort", "status")),
    "predictions": ("headgate_predictions", "Answers", ("cohort", "label", "outcome", "reason")),
    "cache": ("headgate_cache", "Looked up answers by result: hit or miss", ("cohort", "result")),
    "feedback": ("headgate_feedback", "Corrected labels that were taken", ("label",)),
}
_HISTOGRAMS = {
    "seconds": ("headgate_request_seconds", "Time from request to answer", ("cohort",), SECONDS),
    "score": ("headgate_score", "Probability of the answered label", ("cohort",), SCORES),
    "batch": ("headgate_batch_size", "Messages scored together", (), BATCHES),
}
_GAUGES = {
    "log_dropped": "Predictions that the log could not take",
    "queue_depth": "Messages that wait to be scored",
    "cached_answers": "Answers in the prediction cache",
    "cached_bytes": "Bytes of the answers in the prediction cache",
    "connections": "Open connections",
}
RESIDENT = "process_resident_memory_bytes"  # by the names that every Prometheus client gives them
STARTED = "process_start_time_seconds"


class Metrics:
    """Counts of one worker, begun where the worker before it in its slot ended."""

    def __init__(self, model: str, release: str, bundle_digest: str, board: Board | None = None, worker: int = 0) -> None:
        self._model, self._release, self._digest = model, release, bundle_digest
        self._board, self._worker = board or Board(1), worker
        self._started = time.time()
        self.counts: defaultdict[Key, float] = defaultdict(float, _read(self._board.read(worker))[0])

    def answered(self, cohort: str, status: int, seconds: float) -> None:
        """Count one request and its time."""
        counts = self.counts
        counts["requests", cohort, status] += 1
        counts["seconds", cohort, bisect_left(SECONDS, seconds)] += 1
        counts["seconds", cohort, -1] += seconds

    def predicted(self, cohort: str, answer: Answer, cached: bool | None) -> None:
        """Count one prediction; cached is None where the cache was off."""
        counts = self.counts
        counts["predictions", cohort, answer.label, answer.outcome, answer.reason] += 1
        if answer.score is not None:
            counts["score", cohort, bisect_left(SCORES, answer.score)] += 1
            counts["score", cohort, -1] += answer.score
        if cached is not None:
            counts["cache", cohort, "hit" if cached else "miss"] += 1

    def batched(self, size: int) -> None:
        """Count one batch."""
        self.counts["batch", bisect_left(BATCHES, size)] += 1
        self.counts["batch", -1] += size

    def corrected(self, label: str) -> None:
        """Count one corrected label."""
        self.counts["feedback", label] += 1

    def flush(self, gauges: Mapping[str, float]) -> bool:
        """Write the counts on the board, for every worker to see; says whether they fit."""
        return self._board.write(self._worker, orjson.dumps([list(self.counts.items()), {**gauges, STARTED: self._started}]))

    def text(self) -> bytes:
        """The sum over all workers, in Prometheus' text format."""
        counts: defaultdict[Key, float] = defaultdict(float)
        gauges = dict.fromkeys((*_GAUGES, RESIDENT, STARTED), 0.0)
        for worker in range(self._board.workers):
            of_worker, levels = _read(self._board.read(worker))
            for key, count in of_worker.items():
                counts[key] += count
            for name, level in levels.items():
                gauges[name] = max(gauges[name], level) if name == STARTED else gauges[name] + level
        return "".join(f"{line}\n" for line in self._lines(counts, gauges)).encode()

    def _lines(self, counts: Counts, gauges: Mapping[str, float]) -> Iterator[str]:
        same = {"model": self._model, "release": self._release}
        for kind, (name, told, labels) in _COUNTERS.items():
            yield from _head(f"{name}_total", told, "counter")
            for key in sorted((key for key in counts if key[0] == kind), key=str):
                yield _line(f"{name}_total", same | dict(zip(labels, map(str, key[1:]), strict=True)), counts[key])
        for kind, (name, told, labels, bounds) in _HISTOGRAMS.items():
            yield from _head(name, told, "histogram")
            for of in sorted({key[1:-1] for key in counts if key[0] == kind}, key=str):
                yield from _histogram(name, same | dict(zip(labels, map(str, of), strict=True)), bounds, counts, (kind, *of))
        for name, told in _GAUGES.items():
            yield from _head(f"headgate_{name}", told, "gauge")
            yield _line(f"headgate_{name}", {}, gauges[name])
        yield from _head(RESIDENT, "Resident memory of all workers", "gauge")
        yield _line(RESIDENT, {}, gauges[RESIDENT])
        yield from _head(STARTED, "When the newest worker started, in seconds since 1970", "gauge")
        yield _line(STARTED, {}, gauges[STARTED])
        yield from _head("headgate_serving", "The bundle that is served", "gauge")
        yield _line("headgate_serving", same | {"bundle_digest": self._digest}, 1.0)


def _read(data: bytes) -> tuple[dict[Key, float], dict[str, float]]:
    if not data.startswith(b"["):  # nothing yet, or why the worker could not start
        return {}, {}
    counts, gauges = orjson.loads(data)
    return {tuple(key): count for key, count in counts}, gauges


def _histogram(name: str, labels: Mapping[str, str], bounds: tuple[float, ...], counts: Counts, key: Key) -> Iterator[str]:
    totals = list(accumulate(counts.get((*key, bucket), 0.0) for bucket in range(len(bounds) + 1)))
    for bound, total in zip((*map(float, bounds), "+Inf"), totals, strict=True):
        yield _line(f"{name}_bucket", {**labels, "le": str(bound)}, total)
    yield _line(f"{name}_count", labels, totals[-1])
    yield _line(f"{name}_sum", labels, counts.get((*key, -1), 0.0))


def _head(name: str, told: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {told}", f"# TYPE {name} {kind}"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
    return f"{name}{{{told}}} {float(value)!r}" if told else f"{name} {float(value)!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

"""What a cohort answered lately, from the files that its servers and the router write.

Answers come from the prediction log (one line a scored text), failed calls from the router's error log (one line a call).
Both are JSON Lines with `ts` in ISO 8601, oldest first, so they are read from their ends.
"""

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from headgate.release.observation import LATENCY_BOUNDS_MS, Corrections, Observation

_BLOCK = 2**16
_NAMES = [*(f"{bound:g}" for bound in LATENCY_BOUNDS_MS), "inf"]


def observe_files(
    cohort: str,
    window_s: float,
    predictions: Path,
    errors: Path,
    release: str,
    now: datetime | None = None,
    heard: Callable[[list[dict[str, Any]]], Corrections] | None = None,
    by_release: bool = False,
) -> Observation:
    """One cohort's last window_s seconds: its release's prediction log folder, and the endpoint's error log.

    `heard` counts what users said of these answers. by_release: requests name no cohort, so all answers of the release are the cohort's.
    """
    since = (now or datetime.now(UTC)) - timedelta(seconds=window_s)
    answered = [line for line in recent_lines(predictions, "*.jsonl", since) if by_release or line["cohort"] == cohort]
    told = recent_lines(errors.parent, f"{errors.name}*", since)
    failed = [line for line in told if (line["release"], line["cohort"]) == (release, cohort)]
    seen = summarize(cohort, window_s, answered, len(failed))
    return seen.model_copy(update={"corrections": heard(answered)}) if heard else seen


def summarize(cohort: str, window_s: float, answered: Iterable[dict[str, Any]], errors: int) -> Observation:
    """Count the lines of a prediction log."""
    lines = list(answered)
    scores = [line["score"] for line in lines if line.get("score") is not None]
    return Observation(
        cohort=cohort,
        window_s=window_s,
        requests=len(lines) + errors,
        errors=errors,
        latency_ms=histogram(line["latency_ms"] for line in lines if not line.get("cached")),
        labels=dict(Counter(line["label"] for line in lines if line.get("label") is not None)),
        confidence=sum(scores) / len(scores) if scores else None,
        scored=len(scores),
        abstained=sum(line["outcome"] == "abstained" for line in lines),
    )


def histogram(values_ms: Iterable[float]) -> dict[str, int]:
    """Counts by the smallest bound that is not below the value, in order, without empty ones; 'inf' above the last."""
    counts = Counter(bisect_left(LATENCY_BOUNDS_MS, value) for value in values_ms)
    return {_NAMES[place]: count for place, count in sorted(counts.items())}


def recent_lines(folder: Path, pattern: str, since: datetime) -> Iterator[dict[str, Any]]:
    """The lines since then of the files in a folder, each file's newest first."""
    for file in sorted(folder.glob(pattern)):
        if file.is_file() and file.stat().st_mtime >= since.timestamp():
            yield from _lines_since(file, since)


def _lines_since(file: Path, since: datetime) -> Iterator[dict[str, Any]]:
    """The file's lines from the newest back to `since`."""
    for raw in _backwards(file):
        try:
            line = orjson.loads(raw)
            at = datetime.fromisoformat(line["ts"])
        except (ValueError, KeyError, TypeError):
            continue  # the last line may be half written, and a crash leaves such a line for good
        if at < since:
            return
        yield line


def _backwards(file: Path) -> Iterator[bytes]:
    """The lines of a file, last first, without reading more than is asked for."""
    with file.open("rb") as opened:
        position, rest = opened.seek(0, os.SEEK_END), b""
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            opened.seek(position)
            first, *lines = (opened.read(size) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = first
        if rest:
            yield rest

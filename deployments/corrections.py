"""Corrections that came to the servers of one endpoint, each joined with its answer by prediction id.

The router gives a correction to any of the endpoint's servers, so those of all live releases are read together. A server writes a
correction down before it says thanks, so what was acknowledged is here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from deployments.observations import recent_lines
from headgate.release.observation import Corrections


class Given(NamedTuple):
    """The label that somebody gave, and when."""

    at: datetime
    label: str


Told = dict[str, list[Given]]  # by prediction id, in the order of time


def corrections_since(logs: Iterable[Path], since: datetime) -> Told:
    """Every correction since then, from the prediction log folders of all live releases."""
    found: Told = {}
    for folder in logs:
        for line in recent_lines(folder / "feedback", "*.jsonl", since):
            found.setdefault(str(line.get("prediction_id")), []).append(Given(datetime.fromisoformat(line["ts"]), str(line.get("label"))))
    for given in found.values():
        given.sort()
    return found


def in_time(told: Told, line: Mapping[str, Any], wait: timedelta) -> str | None:
    """The label that an answer was given last, within so long after it."""
    until = datetime.fromisoformat(line["ts"]) + wait
    labels = [given.label for given in told.get(str(line.get("prediction_id")), ()) if given.at <= until]
    return labels[-1] if labels else None


def count_corrections(answered: Iterable[Mapping[str, Any]], told: Told, wait_s: float, now: datetime) -> Corrections:
    """What became of the answers that are wait_s old by now; a skipped text was read by no classifier, so it is none."""
    wait = timedelta(seconds=wait_s)
    old = [line for line in answered if line["outcome"] != "skipped" and datetime.fromisoformat(line["ts"]) <= now - wait]
    given = [(in_time(told, line, wait), line.get("label")) for line in old] if told else []
    corrected = sum(label is not None and label != answer for label, answer in given)
    confirmed = sum(label is not None and label == answer for label, answer in given)
    return Corrections(wait_s=wait_s, answers=len(old), corrected=corrected, confirmed=confirmed)

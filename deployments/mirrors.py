"""Answers of champion and challenger to the same mirrored requests, from the files that their servers and the router write.

The router gives a request that it mirrors a fresh id, which both servers log with each text of it (`mirror`). The texts of one request
are lines of one file, in the request's order, so the lines of an id are paired by their places; where the numbers differ none are.
"""

from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from deployments.observations import recent_lines
from headgate.release.shadow_report import Answer, Mirrored, Pair


class Side(NamedTuple):
    """One model at an endpoint: the folder of its prediction log, and its release."""

    predictions: Path
    release: str


def read_mirrored(
    champion: Side, challenger: Side, errors: Path, since: datetime, by_release: bool = False, percent: int = 100
) -> Mirrored:
    """All that was mirrored since then; `errors` is the endpoint's error log.

    by_release: the requests name no cohort, so that an answer is the champion's or the shadow's by the release that gave it.
    percent: of the requests with an id, so many had a copy, where a request that has none has an id too; a copy that is
    missing is then known only by their number, give or take chance.
    """
    asked = [line for line in recent_lines(champion.predictions, "*.jsonl", since) if by_release or line.get("cohort") == "champion"]
    given = recent_lines(challenger.predictions, "*.jsonl", since)
    copies = _by_request(line for line in given if by_release or line.get("cohort") == "shadow")
    originals = _by_request(asked)
    failed = [(line["release"], line["cohort"]) for line in recent_lines(errors.parent, f"{errors.name}*", since)]
    pairs = [pair for name, answers in originals.items() if name in copies for pair in _paired(answers, copies[name])]
    asked_for = sum(map(len, originals.values())) * percent // 100
    missing = max(0, asked_for - len(pairs)) + sum(map(len, copies.values())) - len(pairs)
    return Mirrored(
        pairs=tuple(reversed(pairs)),  # the files are read from their ends
        unpaired=missing,
        errors=failed.count((challenger.release, "shadow")),
        champion_requests=len(asked),
        champion_errors=failed.count((champion.release, "champion")),
    )


def _by_request(lines: Any) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = defaultdict(list)
    for line in lines:
        if name := line.get("mirror"):
            found[name].append(_answer(line))
    return found


def _answer(line: dict[str, Any]) -> Answer:
    second = int(datetime.fromisoformat(line["ts"]).timestamp())
    return Answer(line["prediction_id"], line["label"], line["outcome"], line["latency_ms"], line.get("cached", False), second)


def _paired(originals: list[Answer], copies: list[Answer]) -> list[Pair]:
    if len(originals) != len(copies):
        return []
    return [Pair(*answers) for answers in zip(originals, copies, strict=True)]

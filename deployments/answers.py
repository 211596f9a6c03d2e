"""All that the servers of one local endpoint logged of a while: answers, failed calls, corrections."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from deployments.corrections import corrections_since
from deployments.observations import recent_lines
from headgate.release.observation import Answers


def answers_between(
    releases: Mapping[str, str], logs: Mapping[str, Path], errors: Path, since: datetime, until: datetime, by_release: bool = False
) -> Answers:
    """What the releases of these cohorts answered from since to until, in the prediction log folders of each; corrections by then.

    by_release: the requests name no cohort, so all answers of a release are its cohort's.
    """
    told = corrections_since(logs.values(), since)
    last = {name: [one.label for one in given if one.at < until][-1:] for name, given in told.items()}
    failed = Counter(
        line["cohort"]
        for line in recent_lines(errors.parent, f"{errors.name}*", since)
        if line["release"] == releases.get(line["cohort"]) and datetime.fromisoformat(line["ts"]) < until
    )
    return Answers(_lines(logs, since, until, by_release), failed, {name: labels[0] for name, labels in last.items() if labels})


def _lines(logs: Mapping[str, Path], since: datetime, until: datetime, by_release: bool) -> Iterator[Mapping[str, Any]]:
    """Each cohort's lines from its own release's folder; the challenger's holds the shadow's too."""
    for cohort, folder in logs.items():
        own = (cohort, "shadow") if cohort == "challenger" else (cohort,)
        for line in recent_lines(folder, "*.jsonl", since):
            if (by_release or line["cohort"] in own) and datetime.fromisoformat(line["ts"]) < until:
                yield {**line, "cohort": cohort} if by_release else line

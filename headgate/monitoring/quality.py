"""A look at production as a few numbers for a service of metrics, and whether it is the release that is alarming. Pure."""

from collections.abc import Iterator
from math import isfinite
from typing import Literal, NamedTuple

from headgate.monitoring.alarms import ACCURACY, CORRECTIONS, Alarm, alarms
from headgate.monitoring.hours import OF_ANSWER
from headgate.monitoring.traffic import Traffic
from headgate.settings import Watch

OF_RELEASE = frozenset([*OF_ANSWER, ACCURACY, CORRECTIONS])


class Measure(NamedTuple):
    """One number of a look, with its unit as CloudWatch spells units."""

    name: str
    value: float
    unit: Literal["Count", "Percent", "None"]


def quality(traffic: Traffic, standing: Alarm | None) -> list[Measure]:
    """The numbers that a look judges, as its page shows them; what could not be told is left out. standing: the newest alarm record."""
    return [one for one in _measures(traffic, standing) if isfinite(one.value)]


def _measures(traffic: Traffic, standing: Alarm | None) -> Iterator[Measure]:
    yield Measure("Answers", traffic.answers, "Count")
    yield Measure("StandingAlarms", len(standing.reasons) if standing else 0, "Count")
    if traffic.drifts:
        yield Measure("DriftedColumns", sum(drift.drifted for drift in traffic.drifts), "Count")
    for drift in traffic.drifts:
        yield Measure(f"{drift.column.capitalize()}Drift", drift.distance, "None")
    if traffic.estimate:
        yield Measure("EstimatedAccuracy", 100 * traffic.estimate.accuracy, "Percent")
    if traffic.corrected:
        yield Measure("ContradictedAnswers", traffic.corrected.contradicted, "Count")


def blamed(traffic: Traffic, standing: Alarm | None, watch: Watch) -> dict[str, str]:
    """The standing reasons that are about the answers of the release that was judged, with their words.

    What texts are like is no release's doing. A reason that stands since an earlier look counts where the record is about this release:
    another's may have been raised by the champion before it.
    """
    before = standing.reasons if standing and standing.release == traffic.release else {}
    return {name: words for name, words in {**before, **alarms(traffic, watch)}.items() if name in OF_RELEASE}

"""CloudWatch's alarms on moto's metrics, by the simulator's clock.

From the CloudWatch User Guide, "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data". Simplified: the
periods end now instead of on whole minutes, and an alarm set by hand keeps its state until the clock moves next.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

import numpy as np
from moto.cloudwatch.models import CloudWatchBackend, Statistics

COMPARED: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": lambda values: float(np.mean(values)),
    "Sum": lambda values: float(np.sum(values)),
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}


_FIVE = Statistics.get_statistics_for_type


def _statistic(self: Statistics, name: str) -> Any:
    """GetMetricData's percentiles, which moto lacks."""
    if not name.startswith("p"):
        return _FIVE(self, name)
    return _percentile(_all(self.metric_data), name)


def teach_percentiles() -> None:
    """Let moto's GetMetricData answer p50, p99.9 and so on, in this process.

    The metrics that moto itself makes of S3's buckets are left out: their times have a zone, which GetMetricData cannot compare.
    """
    Statistics.get_statistics_for_type = _statistic
    CloudWatchBackend.aws_metric_data = property(lambda _: [])


def aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def naive(moment: datetime) -> datetime:
    """As moto keeps the times of metrics."""
    return moment.astimezone(UTC).replace(tzinfo=None)


class Series:
    """The metrics of a region by name and dimensions, each in the order of its times."""

    def __init__(self) -> None:
        self._seen = 0
        self._by_key: dict[Any, list[tuple[datetime, int, Any]]] = defaultdict(list)

    def update(self, data: Sequence[Any]) -> None:
        """Take in what was put since the last time; the data only ever grow."""
        for number in range(self._seen, len(data)):
            insort(self._by_key[_key(data[number])], (aware(data[number].timestamp), number, data[number]))
        self._seen = len(data)

    def values(self, alarm: Any, end: datetime) -> list[float]:
        """What was put of the alarm's metric within the period that ends then."""
        found = self._by_key.get(_key(alarm), [])
        since = end - timedelta(seconds=alarm.period)
        first, last = (bisect_right(found, moment, key=itemgetter(0)) for moment in (since, end))
        return _all(datum for *_, datum in found[first:last])


def _key(of: Any) -> tuple[str, str, frozenset[tuple[str, str]]]:
    name = of.metric_name if hasattr(of, "metric_name") else of.name
    return of.namespace, name, frozenset((one.name, one.value) for one in of.dimensions)


def evaluate(alarms: Iterable[Any], series: Series, now: datetime) -> None:
    """Set the state of each alarm of one metric by what was put of it."""
    for alarm in alarms:
        if alarm.rule is None:
            state = state_of(alarm, series, now)
            if state and state != alarm.state_value:
                alarm.update_state(f"Evaluated by the simulator at {now.isoformat()}", "{}", state)


def state_of(alarm: Any, series: Series, now: datetime) -> str | None:
    """OK, ALARM or INSUFFICIENT_DATA; None: as it was."""
    if alarm.metric_data_queries:
        raise NotImplementedError(f"alarm {alarm.name}: the simulator evaluates alarms of one metric, found metric math")
    ends = [now - timedelta(seconds=alarm.period * back) for back in range(alarm.evaluation_periods)]
    periods = [_breaches(alarm, series.values(alarm, end)) for end in ends]
    needed = alarm.datapoints_to_alarm or alarm.evaluation_periods
    missing = alarm.treat_missing_data or "missing"
    if all(breach is None for breach in periods):
        return {"breaching": "ALARM", "notBreaching": "OK", "ignore": None, "missing": "INSUFFICIENT_DATA"}[missing]
    bad = sum(breach is True or (breach is None and missing == "breaching") for breach in periods)
    unknown = sum(breach is None for breach in periods) if missing in ("missing", "ignore") else 0
    if bad >= needed:
        return "ALARM"
    return None if missing == "ignore" and bad + unknown >= needed else "OK"


def _breaches(alarm: Any, values: list[float]) -> bool | None:
    if not values:
        return None
    found = STATISTICS[alarm.statistic](values) if alarm.statistic else _percentile(values, alarm.extended_statistic)
    return COMPARED[alarm.comparison_operator](found, float(alarm.threshold))


def _percentile(values: Sequence[float], name: str) -> float:
    return float(np.percentile(values, float(name.removeprefix("p"))))


def _all(data: Iterable[Any]) -> list[float]:
    """All values, of a statistic set so many times its mean between its extremes."""
    return [value for datum in data for value in ([datum.value] if hasattr(datum, "value") else _spread(datum))]


def _spread(datum: Any) -> list[float]:
    if datum.sample_count <= 1:
        return [datum.sum]
    inner = (datum.sum - datum.min - datum.max) / max(1, datum.sample_count - 2)
    return [datum.min, *[inner] * (int(datum.sample_count) - 2), datum.max]

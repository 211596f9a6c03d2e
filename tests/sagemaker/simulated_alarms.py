"""CloudWatch's alarms on moto's metrics, by the simulator's clock.

From the CloudWatch User Guide, "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data". Simplified: the
periods end now instead of on whole minutes, and an alarm set by hand keeps its state until the clock moves next.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

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


def aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def evaluate(alarms: Iterable[Any], data: Sequence[Any], now: datetime) -> None:
    """Set the state of each alarm of one metric by what was put of it."""
    for alarm in alarms:
        if alarm.rule is None:
            state = state_of(alarm, data, now)
            if state and state != alarm.state_value:
                alarm.update_state(f"Evaluated by the simulator at {now.isoformat()}", "{}", state)


def state_of(alarm: Any, data: Sequence[Any], now: datetime) -> str | None:
    """OK, ALARM or INSUFFICIENT_DATA; None: as it was."""
    if alarm.metric_data_queries:
        raise NotImplementedError(f"alarm {alarm.name}: the simulator evaluates alarms of one metric, found metric math")
    periods = [
        _breaches(alarm, _values(alarm, data, now - timedelta(seconds=alarm.period * back))) for back in range(alarm.evaluation_periods)
    ]
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
    if alarm.statistic:
        found = STATISTICS[alarm.statistic](values)
    else:
        found = float(np.percentile(values, float(str(alarm.extended_statistic).removeprefix("p"))))
    return COMPARED[alarm.comparison_operator](found, float(alarm.threshold))


def _values(alarm: Any, data: Sequence[Any], end: datetime) -> list[float]:
    """What was put of the alarm's metric within its period, a statistic set as so many times its mean between its extremes."""
    wanted = {(one.name, one.value) for one in alarm.dimensions}
    since, values = end - timedelta(seconds=alarm.period), []
    for datum in data:
        same = datum.namespace == alarm.namespace and datum.name == alarm.metric_name
        if same and since < aware(datum.timestamp) <= end and {(one.name, one.value) for one in datum.dimensions} == wanted:
            values += [datum.value] if hasattr(datum, "value") else _spread(datum)
    return values


def _spread(datum: Any) -> list[float]:
    if datum.sample_count <= 1:
        return [datum.sum]
    inner = (datum.sum - datum.min - datum.max) / max(1, datum.sample_count - 2)
    return [datum.min, *[inner] * (int(datum.sample_count) - 2), datum.max]

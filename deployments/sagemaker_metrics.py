"""Latency and failed calls of one fleet, from CloudWatch: SageMaker puts them by endpoint, variant and configuration, a minute late.

CloudWatch tells percentiles, not counts. The histogram spreads a minute's calls between its percentiles, each at the upper one, so that
both cohorts are rounded up alike.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from typing import Any, NamedTuple

from deployments.observations import histogram
from deployments.sagemaker_clients import answered
from deployments.sagemaker_plan import dimensions

PERCENTS = (0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 93, 95, 97, 98, 99, 99.5, 100)
MOST_POINTS = 60


class Measured(NamedTuple):
    """What CloudWatch knows of a fleet in a while."""

    calls: int
    errors: int
    latency_ms: dict[str, int]


def measure(cloudwatch: Any, endpoint: str, config: str, variant: str, since: datetime, until: datetime) -> Measured:
    """A fleet's calls, failed calls (5xx, and what reached no container) and latencies from since to until."""
    start = since.replace(second=0, microsecond=0)
    period = 60 * max(1, ceil((until - start) / timedelta(minutes=MOST_POINTS)))
    queries = list(_queries(dimensions(endpoint, config, variant), period))
    with answered(f"metrics of endpoint {endpoint}"):
        pages = cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=queries, StartTime=start, EndTime=max(until, start + timedelta(minutes=1)), ScanBy="TimestampAscending"
        )
        found: dict[str, dict[datetime, float]] = {}
        for page in pages:
            for one in page["MetricDataResults"]:
                found.setdefault(one["Id"], {}).update(zip(one["Timestamps"], one["Values"], strict=True))
    return measured(found)


def measured(found: Mapping[str, Mapping[datetime, float]]) -> Measured:
    """The answers of CloudWatch by the queries' ids, as counts."""
    counts: Counter[str] = Counter()
    for at, samples in found.get("samples", {}).items():
        values = [found.get(_id(percent), {}).get(at) for percent in PERCENTS[1:]]
        if None not in values:
            counts.update(histogram(_spread(round(samples), [value / 1000 for value in values if value is not None])))
    ordered = {name: counts[name] for name in sorted(counts, key=float)}
    return Measured(_sum(found, "calls"), _sum(found, "errors"), ordered)


def _spread(samples: int, values_ms: Sequence[float]) -> Iterator[float]:
    """So many latencies as lie below each percentile, at its value."""
    for (low, high), value in zip(pairwise(PERCENTS), values_ms, strict=True):
        yield from [value] * (round(samples * high / 100) - round(samples * low / 100))


def _sum(found: Mapping[str, Mapping[datetime, float]], name: str) -> int:
    return round(sum(found.get(name, {}).values()))


def _queries(fleet: list[dict[str, str]], period: int) -> Iterator[dict[str, Any]]:
    wanted = {"calls": ("Invocations", "Sum"), "errors": ("Invocation5XXErrors", "Sum"), "samples": ("ModelLatency", "SampleCount")}
    wanted |= {_id(percent): ("ModelLatency", "Maximum" if percent == 100 else f"p{percent:g}") for percent in PERCENTS[1:]}
    for name, (metric, statistic) in wanted.items():
        about = {"Namespace": "AWS/SageMaker", "MetricName": metric, "Dimensions": fleet}
        yield {"Id": name, "MetricStat": {"Metric": about, "Period": period, "Stat": statistic}}


def _id(percent: float) -> str:
    return f"p{percent:g}".replace(".", "_")

"""The typed records of a load test."""

from headgate.evaluation.report import GateResult, Verdict
from headgate.record import Record


class SecondOfLoad(Record):
    """One second of a load test, by intended start."""

    second: int
    requests: int
    errors: int
    p50_ms: float
    p95_ms: float


class LatencyBin(Record):
    """Answers between `low_ms` and `high_ms`."""

    low_ms: float
    high_ms: float
    requests: int


class LoadReport(Record):
    """A load test after its warm-up. Latency is counted from the intended start of a request, failed ones included."""

    url: str
    rate_per_s: float
    achieved_rate_per_s: float
    duration_s: float
    warm_up_s: float
    requests: int
    errors: int
    error_rate: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    generator_lag_p99_ms: float
    faults: dict[str, int]
    seconds: tuple[SecondOfLoad, ...]
    histogram: tuple[LatencyBin, ...]
    gates: tuple[GateResult, ...]
    verdict: Verdict
    pictures: tuple[str, ...] = ()

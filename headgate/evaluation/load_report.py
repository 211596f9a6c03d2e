"""The typed records of a load test."""

from typing import Literal

from headgate.evaluation.report import GateResult, Verdict
from headgate.record import Record

Role = Literal["candidate", "champion"]


class SecondOfLoad(Record):
    """What was sent from this second on, by intended start: one second, or several of a long test."""

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


class LoadSide(Record):
    """What one model's endpoint did, warm-up left out. Latency is counted from the intended start of a request, failed ones included."""

    role: Role
    cache: bool
    requests: int
    errors: int
    error_rate: float
    achieved_rate_per_s: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    generator_lag_p99_ms: float
    faults: dict[str, int]
    seconds: tuple[SecondOfLoad, ...]
    histogram: tuple[LatencyBin, ...]


class LoadStep(Record):
    """One step of the stairs: a rate that one model's endpoint was asked for, and what came back."""

    role: Role
    rate_per_s: float
    achieved_rate_per_s: float
    p95_ms: float
    errors: int
    sustained: bool
    generator_lag_p99_ms: float = 0.0  # much of it: Locust gave in, not the endpoint


class MemoryUse(Record):
    """Memory of one model's serving processes over the run, in MB; growth is a share of what it had after the warm-up."""

    role: Role
    samples_mb: tuple[float, ...]
    growth: float


class LoadReport(Record):
    """A load test: arrivals at a set rate, models interleaved in the same run, cache off and on apart."""

    url: str
    rate_per_s: float
    duration_s: float
    warm_up_s: float
    sides: tuple[LoadSide, ...]
    stairs: tuple[LoadStep, ...] = ()
    saturation_per_s: dict[Role, float]
    memory: tuple[MemoryUse, ...] = ()
    gates: tuple[GateResult, ...]
    verdict: Verdict
    pictures: tuple[str, ...] = ()

    def side(self, role: Role, cache: bool = False) -> LoadSide | None:
        """What was measured of one model, if it was."""
        return next((side for side in self.sides if (side.role, side.cache) == (role, cache)), None)

    @property
    def candidate(self) -> LoadSide:
        """The candidate with its cache off, which every load test measures."""
        found = self.side("candidate")
        assert found is not None
        return found

"""What a million predictions cost, from the throughput that the load test found. Pure."""

from headgate.evaluation.evidence_record import CostBasis
from headgate.evaluation.load_report import LoadReport, Role
from headgate.record import Record

MILLION, SECONDS_PER_HOUR = 1_000_000, 3600


class Cost(Record):
    """One model's cost per million predictions at the highest rate it sustained, cache off, with no idle time counted."""

    role: Role
    predictions_per_s: float
    instance_hours: float
    cpu_hours: float | None
    amount: str | None


def costs(load: LoadReport | None, basis: CostBasis) -> tuple[Cost, ...]:
    """Cost of candidate and champion, as far as their saturation throughput was measured."""
    found = load.saturation_per_s if load else {}
    roles: tuple[Role, ...] = ("candidate", "champion")
    return tuple(_cost(role, found[role], basis) for role in roles if found.get(role, 0.0) > 0)


def _cost(role: Role, per_s: float, basis: CostBasis) -> Cost:
    hours = MILLION / per_s / SECONDS_PER_HOUR
    return Cost(
        role=role,
        predictions_per_s=per_s,
        instance_hours=hours,
        cpu_hours=None if basis.cores is None else hours * basis.cores,
        amount=None if basis.per_hour is None else f"{hours * basis.per_hour:,.2f} {basis.currency}",
    )

"""What a million predictions cost, from the throughput that the load test found; and what the fleets do, and a release on them. Pure."""

from headgate.evaluation.evidence_record import CostBasis, Fleet
from headgate.evaluation.load_report import LoadReport, Role
from headgate.record import Record

MILLION, SECONDS_PER_HOUR, HOURS_PER_DAY = 1_000_000, 3600, 24


class Cost(Record):
    """One model's cost per million predictions at the highest rate it sustained, cache off, with no idle time counted."""

    role: Role
    predictions_per_s: float
    instance_hours: float
    cpu_hours: float | None
    amount: str | None


class FleetCost(Record):
    """One stage's fleet, as the page tells of it. The rates rest on an instance being like the measured one."""

    stage: str
    fleet: str
    bears_per_s: float | None
    day: str | None
    million: str | None
    release_hours: float
    release: str | None


def fleet_costs(load: LoadReport | None, basis: CostBasis) -> tuple[FleetCost, ...]:
    """Each fleet by the candidate's own throughput: what it bears, costs a day, for a million predictions and for this release."""
    rate = (load.saturation_per_s.get("candidate") if load else None) or None
    return tuple(_fleet_cost(one, rate) for one in basis.fleets)


def _fleet_cost(fleet: Fleet, per_s: float | None) -> FleetCost:
    def money(hours: float | None) -> str | None:
        return None if hours is None or fleet.per_hour is None else f"{hours * fleet.per_hour:,.2f} {fleet.currency}"

    return FleetCost(
        stage=f"{fleet.environment} ({fleet.place})",
        fleet=f"{fleet.instances} x {fleet.instance_type}{_first(fleet)}",
        bears_per_s=None if per_s is None else per_s * fleet.instances,
        day=money(HOURS_PER_DAY * fleet.instances),
        million=money(None if per_s is None else MILLION / per_s / SECONDS_PER_HOUR),
        release_hours=fleet.release_hours,
        release=money(fleet.release_hours),
    )


def _first(fleet: Fleet) -> str:
    """What the policy's percent do not tell."""
    return f"; the first step is {fleet.first_percent}% of the traffic, which moves by whole instances" if fleet.first_percent else ""


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

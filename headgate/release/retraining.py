"""Whether newly annotated rows set off a training: a pure function of policy, evidence and clock, and the record of each decision."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from headgate.data.new_rows import NewRows
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.training_ledger import DAY, PastTraining
from headgate.settings import Retrain

Name = Literal["switch", "champion", "data", "candidate", "running", "rows", "labels", "interval", "cool_down", "budget", "approval"]
FIRST = ("switch", "champion", "data", "candidate", "running")  # while one of these is not met, the others say nothing


class Evidence(Record):
    """All that a decision about a training is made from, besides policy and clock."""

    model: str
    live: str | None
    candidate: str
    data_version: int | None
    known: str | None = None
    since: int | None = None
    rows: NewRows | None = None
    trainings: tuple[PastTraining, ...] = ()
    unready: str | None = None


class Check(Record):
    """One condition for a training, what was found, and until when time alone keeps it from being met."""

    name: Name
    met: bool
    told: str
    until: datetime | None = None


class Decision(Record):
    """What was decided about a training of a model, when, why and on whose trigger."""

    model: str
    dataset: str
    at: datetime
    trigger: str
    data_version: int | None
    since: int | None
    new_rows: int | None
    decision: Literal["train", "skip", "ask"]
    checks: tuple[Name, ...]
    reason: str
    until: datetime | None = None
    training: int | None = None
    decided_by: str

    def repeats(self, before: "Decision | None") -> bool:
        """Whether it says what the one before it said, and is not worth a line of its own."""
        if before is None or self.decision == "train":
            return False
        return (self.data_version, self.decision, self.checks, self.reason) == (
            before.data_version,
            before.decision,
            before.checks,
            before.reason,
        )


def checks(policy: Retrain, evidence: Evidence, now: datetime) -> tuple[Check, ...]:
    """Every condition in the order of its weight; those that cannot be judged are left out."""
    return tuple(_checks(policy, evidence, now))


def _checks(policy: Retrain, evidence: Evidence, now: datetime) -> Iterator[Check]:
    yield Check(name="switch", met=policy.enabled, told=f"retrain.enabled is {str(policy.enabled).lower()}")
    yield _champion(evidence)
    if evidence.unready:
        yield Check(name="data", met=False, told=evidence.unready)
        return
    yield Check(
        name="candidate", met=evidence.known is None, told=evidence.known or f"data version {evidence.data_version} is not tested yet"
    )
    yield _running(evidence)
    if evidence.rows is not None:
        yield _rows(policy, evidence.rows)
        yield _labels(policy, evidence.rows)
    started = [past for past in evidence.trainings if past.counts]
    yield _interval(policy, started, now)
    yield _cool_down(policy, started, now)
    yield _budget(policy, started, now)
    yield _approval(policy, evidence)


def _champion(evidence: Evidence) -> Check:
    if evidence.live:
        return Check(name="champion", met=True, told=f"release {evidence.live[:12]} is live")
    told = f"no release is live yet, and the first one is started by a person: run `headgate run --model {evidence.model}`"
    return Check(name="champion", met=False, told=told)


def _running(evidence: Evidence) -> Check:
    for past in evidence.trainings:
        if past.open:
            start = past.training
            told = (
                f"training {start.number} of data version {past.data_version} is under way, set off {_time(start.at)} by {start.started_by}"
            )
            return Check(name="running", met=False, told=told)
    return Check(name="running", met=True, told="no training is under way")


def _rows(policy: Retrain, rows: NewRows) -> Check:
    told = f"{rows.count} of {policy.min_new_rows} new rows since version {rows.since}"
    return Check(name="rows", met=rows.count >= policy.min_new_rows, told=told)


def _labels(policy: Retrain, rows: NewRows) -> Check:
    enough = [label for label, count in rows.by_label.items() if count >= policy.min_new_rows_per_label]
    told = f"{len(enough)} of {policy.min_labels} labels with at least {policy.min_new_rows_per_label} new rows"
    return Check(name="labels", met=len(enough) >= policy.min_labels, told=f"{told} ({', '.join(enough)})" if enough else told)


def _interval(policy: Retrain, started: list[PastTraining], now: datetime) -> Check:
    if not started or not policy.min_interval_hours:
        return Check(name="interval", met=True, told="no interval to keep")
    last = started[-1].training
    until = last.at + timedelta(hours=policy.min_interval_hours)
    told = f"{policy.min_interval_hours:g} h after training {last.number}: not before {_time(until)}"
    return Check(name="interval", met=now >= until, told=told, until=until)


def _cool_down(policy: Retrain, started: list[PastTraining], now: datetime) -> Check:
    ended = [past for past in started if not past.open]
    if not ended or not ended[-1].failed:
        return Check(name="cool_down", met=True, told="the last training did not fail")
    last = ended[-1]
    until = (last.end.at if last.end else last.training.at) + timedelta(hours=policy.cool_down_hours)
    why = f"since training {last.training.number} of data version {last.data_version} {last.told}"
    over = now >= until
    return Check(name="cool_down", met=over, told=f"cool-down {'over' if over else 'until'} {_time(until)}, {why}", until=until)


def _budget(policy: Retrain, started: list[PastTraining], now: datetime) -> Check:
    recent = [past.training.at for past in started if past.training.at > now - DAY]
    told = f"{len(recent)} of {policy.max_trainings_per_day} trainings within 24 hours"
    if len(recent) < policy.max_trainings_per_day:
        return Check(name="budget", met=True, told=told)
    until = recent[-policy.max_trainings_per_day] + DAY
    return Check(name="budget", met=False, told=f"{told}, the next not before {_time(until)}", until=until)


def _approval(policy: Retrain, evidence: Evidence) -> Check:
    if policy.approval == "none":
        return Check(name="approval", met=True, told="no person is asked before a training")
    told = f"retrain.approval is required, so it waits for a person: run `headgate run --model {evidence.model}`"
    return Check(name="approval", met=False, told=told)


def decide(policy: Retrain, evidence: Evidence, dataset: str, trigger: str, decided_by: str, now: datetime) -> Decision:
    """Train if every condition is met, ask if only a person is missing, else skip; the reason names all that is missing."""
    missing = [check for check in checks(policy, evidence, now) if not check.met]
    missing = [check for check in missing if check.name in FIRST][:1] or missing
    only_person = [check.name for check in missing] == ["approval"]
    if not only_person:
        missing = [check for check in missing if check.name != "approval"]
    ends = [check.until for check in missing if check.until]
    return Decision(
        model=evidence.model,
        dataset=dataset,
        at=now,
        trigger=trigger,
        data_version=evidence.data_version,
        since=evidence.since,
        new_rows=evidence.rows.count if evidence.rows else None,
        decision="ask" if only_person else "skip" if missing else "train",
        checks=tuple(check.name for check in missing),
        reason=_reason(evidence, missing, only_person),
        until=max(ends) if len(ends) == len(missing) and ends else None,
        decided_by=decided_by,
    )


def _reason(evidence: Evidence, missing: list[Check], only_person: bool) -> str:
    due = ""
    if rows := evidence.rows:
        due = f"{rows.count} new rows ({rows.added} added, {rows.corrected} corrected) since version {rows.since}"
    if not missing:
        return f"trains: {due}"
    told = "; ".join(check.told for check in missing)
    return f"did not train: {due} are enough, but {told}" if only_person else f"did not train: {told}"


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _folder(model: str) -> str:
    return f"ledger/{model}/decisions"


def keep_decision(lake: Lake, decision: Decision) -> bool:
    """Record a decision, unless the newest one says the same already; whether it is worth telling. Repeating is harmless."""
    newest = next(iter(newest_decisions(lake, decision.model, 1)), None)
    if decision.repeats(newest):
        assert newest is not None
        return newest.decided_by == decision.decided_by
    name = f"{decision.at:%Y%m%dT%H%M%S%f}-{decision.decided_by}"
    lake.put_if_absent(f"{_folder(decision.model)}/{name}.json", decision.to_bytes())
    return True


def newest_decisions(lake: Lake, model: str, count: int) -> list[Decision]:
    """The last decisions about a model, newest first."""
    return [Decision.model_validate_json(lake.read(key)) for key in reversed(lake.keys(_folder(model))[-count:])]

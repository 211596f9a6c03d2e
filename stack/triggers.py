"""`headgate triggers`: what was decided about trainings, what is missing until the next one, and when the ledger looks again."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from headgate.errors import Unavailable
from headgate.record import Record
from headgate.release.retraining import Check, Decision, Evidence, checks, decide, newest_decisions
from headgate.release.training_ledger import PastTraining, past_trainings
from headgate.settings import Settings, load_settings
from stack.services import connect
from tasks.places import the_lake

WHO = "headgate triggers"


class Triggers(Record):
    """Where a model stands with its trainings. `next_look` is None where the stack is down, and runs are as the lake knows them."""

    model: str
    dataset: str
    stack_is_up: bool
    next_look: datetime | None
    now: Decision
    checks: tuple[Check, ...]
    decisions: tuple[Decision, ...]
    trainings: tuple[PastTraining, ...]


def show_triggers(model: str | None, count: int, as_json: bool, say: Callable[[str], None]) -> int:
    """Print it for one model or for all of them."""
    settings = load_settings()
    is_up = _connected(settings)
    found = [standing_of(name, count, is_up, datetime.now(UTC)) for name in ([model] if model else settings.models)]
    if as_json:
        say(json.dumps([_as_json(one) for one in found], indent=2, ensure_ascii=False))
        return 0
    for place, one in enumerate(found):
        for line in ["", *lines_of(one)] if place else lines_of(one):
            say(line)
    return 0


def _connected(settings: Settings) -> bool:
    try:
        connect(settings)
    except Unavailable:
        return False
    return True


def standing_of(model: str, count: int, is_up: bool, now: datetime) -> Triggers:
    """What would be decided now, and the last decisions; reads only. Import nothing of Prefect before `connect` found the stack."""
    from tasks.triggering import find_run, gather, seen

    lake, settings = the_lake(), load_settings().model(model)
    past = past_trainings(lake, model, now)
    evidence: Evidence = gather(lake, model, seen(past, find_run, now) if is_up else past)
    return Triggers(
        model=model,
        dataset=settings.dataset,
        stack_is_up=is_up,
        next_look=_next_look() if is_up else None,
        now=decide(settings.retrain, evidence, settings.dataset, WHO, WHO, now),
        checks=checks(settings.retrain, evidence, now),
        decisions=tuple(newest_decisions(lake, model, count)),
        trainings=evidence.trainings,
    )


def _next_look() -> datetime | None:
    """When the catch-up decides next."""
    from stack.orchestration import next_start

    return next_start("decide_retraining", "catch-up")


def lines_of(found: Triggers) -> list[str]:
    """The standing as text, widest column last."""
    now = found.now
    version = "no data version" if now.data_version is None else f"data version {now.data_version}"
    lines = [f"model {found.model}: {_verdict(now)}", f"  data set {found.dataset}, {version}; {_looks_next(found)}", "", "  conditions:"]
    lines += [f"    {'yes' if check.met else 'NO ':<4} {check.name:<10} {check.told}" for check in found.checks]
    if now.until:
        lines.append(f"  nothing but time is missing: due after {_time(now.until)} UTC")
    return [*lines, "", *_decision_lines(found)]


def _verdict(now: Decision) -> str:
    if now.decision == "train":
        return f"a training is due: {now.reason.removeprefix('trains: ')}"
    return f"no training now: {now.reason.removeprefix('did not train: ')}"


def _looks_next(found: Triggers) -> str:
    if not found.stack_is_up:
        return "the stack is down, nothing looks until `headgate up`; what follows is from the lake alone"
    return f"looked at again {_time(found.next_look)} UTC (catch-up)" if found.next_look else "no catch-up is scheduled: run `headgate up`"


def _decision_lines(found: Triggers) -> list[str]:
    if not found.decisions:
        return ["  no decisions yet"]
    rows: list[tuple[str, ...]] = [("when (UTC)", "data", "trigger", "decision", "reason")]
    rows += [tuple(_cells(one, found.trainings)) for one in found.decisions]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    cells = ("  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in rows)
    return ["  decisions, newest first:", *(f"    {line}".rstrip() for line in cells)]


def _cells(one: Decision, trainings: tuple[PastTraining, ...]) -> Iterator[str]:
    yield _time(one.at)
    yield "-" if one.data_version is None else str(one.data_version)
    yield one.trigger
    yield one.decision
    yield _reason(one, trainings)


def _reason(one: Decision, trainings: tuple[PastTraining, ...]) -> str:
    if one.training is None:
        return one.reason
    known = next((past for past in trainings if past.training.number == one.training), None)
    run = f", flow run {known.beginning.run}" if known and known.beginning else ""
    return f"{one.reason} -> training {one.training}{f' {known.told}' if known else ''}{run}"


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"


def _as_json(found: Triggers) -> dict[str, Any]:
    told: dict[str, Any] = found.model_dump(mode="json")
    told["trainings"] = [one.model_dump(mode="json") | {"told": one.told, "open": one.open} for one in found.trainings]
    return told

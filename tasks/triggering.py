"""New rows, a person or the clock ask for a training: the ledger decides, and what it set off is started once."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterId, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import AwaitingRetry

from headgate.data.new_rows import new_rows
from headgate.errors import Conflict, NotFound
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.candidate import Candidate, candidate_key, standing
from headgate.release.champion import champion
from headgate.release.retraining import Check, Decision, Evidence, checks, decide, keep_decision
from headgate.release.training_ledger import (
    Beginning,
    PastTraining,
    RunState,
    Training,
    claim,
    end_of,
    load_training,
    next_number,
    note_beginning,
    note_end,
    past_trainings,
    tested_version,
    waits_for_start,
)
from headgate.settings import load_settings
from tasks.candidates import explain, newest_data, production
from tasks.once import once_per_run
from tasks.places import the_lake

LookUp = Callable[[Training], RunState | None]
ATTEMPTS = 20


class Decided(Record):
    """A decision, the conditions behind it, and whether it is news."""

    decision: Decision
    checks: tuple[Check, ...] = ()
    fresh: bool = True


def models_of(dataset: str | None) -> list[str]:
    """The models that are trained on a data set, or all of them."""
    return [name for name, settings in load_settings().models.items() if dataset in (None, settings.dataset)]


@once_per_run("decide about a training")
def decide_training(model: str, trigger: str) -> Decided:
    """Whether the model is trained now; what is decided is in the ledger before this returns."""
    return decide_once(the_lake(), model, trigger, str(flow_run.id), find_run, datetime.now(UTC))


def decide_once(lake: Lake, model: str, trigger: str, decided_by: str, look: LookUp, now: datetime, run_key: str | None = None) -> Decided:
    """Settle what ended, decide, and claim the training's number; whoever loses the number looks again.

    A training that was set off by a process that died before it started the run is taken over, whatever the policy says now:
    it was decided already. `run_key` is that of a training's flow run that asks for itself, and takes over nothing.
    """
    for _ in range(ATTEMPTS):
        past = settle(lake, model, look, now)
        unstarted = [one.training for one in past if one.open and waits_for_start(one, look(one.training))]
        if unstarted and run_key is None:
            return _take_over(lake, unstarted[-1], decided_by, now)
        number = next_number(lake, model)
        evidence = gather(lake, model, past)
        dataset, policy = load_settings().model(model).dataset, load_settings().model(model).retrain
        decision = decide(policy, evidence, dataset, trigger, decided_by, now)
        if decision.decision == "train":
            training = _training(evidence, decision, number, past, run_key)
            if not claim(lake, training):
                continue
            decision = decision.model_copy(update={"training": number})
        return Decided(decision=decision, checks=checks(policy, evidence, now), fresh=keep_decision(lake, decision))
    raise Conflict(f"{model}: {ATTEMPTS} other processes set off a training at the same moment; decide again")


def settle(lake: Lake, model: str, look: LookUp, now: datetime) -> tuple[PastTraining, ...]:
    """The newest trainings, after the end of each that is over was noted."""
    past = seen(past_trainings(lake, model, now), look, now)
    for one in past:
        if one.end is not None:
            note_end(lake, one.training, one.end)
    return past


def seen(past: tuple[PastTraining, ...], look: LookUp, now: datetime) -> tuple[PastTraining, ...]:
    """The trainings with the ends that their flow runs tell of."""
    return tuple(one.model_copy(update={"end": end_of(one, look(one.training), now)}) if one.open else one for one in past)


def gather(lake: Lake, model: str, past: tuple[PastTraining, ...]) -> Evidence:
    """What a decision about the model's next training is made from."""
    settings = load_settings().model(model)
    live = champion(lake, model, production(settings))
    evidence = Evidence(model=model, live=live.release if live else None, candidate="", data_version=None, trainings=past)
    try:
        data, regression = newest_data(lake, settings)
    except NotFound as fault:
        return evidence.model_copy(update={"unready": str(fault)})
    key = candidate_key(data, regression, settings)
    known = standing(lake, model, key, production(settings))
    found: dict[str, object] = {"candidate": key, "data_version": data.version}
    if known.kind != "new":
        found["known"] = explain(known, data)
    if live:
        since = tested_version(lake, model, past)
        found |= {"since": since, "rows": new_rows(lake, settings.dataset, since)}
    return evidence.model_copy(update=found)


def _training(evidence: Evidence, decision: Decision, number: int, past: tuple[PastTraining, ...], run_key: str | None) -> Training:
    assert evidence.data_version is not None
    return Training(
        model=evidence.model,
        number=number,
        candidate=evidence.candidate,
        data_version=evidence.data_version,
        started_by=decision.trigger,
        reason=decision.reason,
        at=decision.at,
        set_off_by=decision.decided_by,
        run_key=run_key or _run_key(evidence.model, evidence.candidate, number, past),
    )


def _run_key(model: str, candidate: str, number: int, past: tuple[PastTraining, ...]) -> str:
    """The key under which `headgate run` starts the same candidate too; another one where that run ended with nothing to do."""
    key = f"train-{model}-{candidate}"
    used = any(one.training.run_key == key and not one.counts for one in past)
    return f"{key}-{number}" if used else key


def _take_over(lake: Lake, training: Training, decided_by: str, now: datetime) -> Decided:
    """The decision behind a training that was set off and never started: this run's own, told again, or that of a dead one."""
    own = training.set_off_by == decided_by
    reason = (
        training.reason if own else f"trains: training {training.number} was set off {training.at:%Y-%m-%d %H:%M} UTC but never started"
    )
    decision = Decision(
        model=training.model,
        dataset=load_settings().model(training.model).dataset,
        at=training.at if own else now,
        trigger=training.started_by,
        data_version=training.data_version,
        since=None,
        new_rows=None,
        decision="train",
        checks=(),
        reason=reason,
        training=training.number,
        decided_by=decided_by,
    )
    keep_decision(lake, decision)
    return Decided(decision=decision)


@once_per_run("start training")
def start_training(decision: Decision) -> str:
    """Start the run of a training that was set off, or find it; a failed one starts again where it failed. Its id."""
    assert decision.training is not None
    training = load_training(the_lake(), decision.model, decision.training)
    parameters = {"model": training.model, "started_by": training.started_by}
    started = run_deployment(
        "train_candidate/default", parameters=parameters, timeout=0, as_subflow=False, idempotency_key=training.run_key
    )
    run = cast(FlowRun, started)
    found = _state(run)
    if found.kind in ("failed", "cancelled", "crashed") and found.at < training.at:
        with get_client(sync_client=True) as api:
            api.set_flow_run_state(run.id, AwaitingRetry(message=f"training {training.number} of the ledger"), force=True)
    get_run_logger().info("training %d of %s: flow run %s", training.number, training.model, run.name)
    return str(run.id)


def find_run(training: Training) -> RunState | None:
    """What Prefect knows about a training's flow run."""
    if training.run_key.startswith("run-"):
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=[training.run_key.removeprefix("run-")]))
    else:
        wanted = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[training.run_key]))
    with get_client(sync_client=True) as api:
        found = api.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=["train_candidate"])), flow_run_filter=wanted)
    return _state(found[0]) if found else None


def _state(run: FlowRun) -> RunState:
    assert run.state is not None
    kinds = {"COMPLETED": "completed", "FAILED": "failed", "CANCELLED": "cancelled", "CRASHED": "crashed"}
    return RunState(
        id=str(run.id),
        kind=kinds.get(run.state.type.value, "open"),
        at=run.state.timestamp,
        starts=run.run_count,
        why=(run.state.message or "").strip().splitlines()[0] if (run.state.message or "").strip() else "",
    )


@once_per_run("report decision about a training")
def report_decision(decided: Decided) -> None:
    """Say what was decided: in the log, and where it is news in an artifact and in the event feed."""
    decision = decided.decision
    get_run_logger().info("%s: %s", decision.model, decision.reason)
    if not decided.fresh:
        return
    create_markdown_artifact(
        key=f"retrain-{decision.model}", description=f"Whether new rows set off a training of {decision.model}", markdown=_told(decided)
    )
    emit_event(
        "headgate.training.decided",
        resource={"prefect.resource.id": f"headgate.model.{decision.model}"},
        payload={
            "model": decision.model,
            "dataset": decision.dataset,
            "version": decision.data_version,
            "decision": decision.decision,
            "reason": decision.reason,
            "training": decision.training,
        },
    )


def _told(decided: Decided) -> str:
    decision = decided.decision
    version = "no data version" if decision.data_version is None else f"data version {decision.data_version}"
    lines = [f"**{decision.reason}**", "", f"{version}, set off by {decision.trigger}"]
    if decided.checks:
        rows = [f"| {check.name} | {'yes' if check.met else 'no'} | {check.told} |" for check in decided.checks]
        lines += ["", "| condition | met | found |", "|---|---|---|", *rows]
    return "\n".join(lines)


@once_per_run("enter training in the ledger")
def admit_training(candidate: Candidate) -> bool:
    """Note that this run sets to work. A person's run always may; one that an automation started past the ledger is decided here."""
    context = FlowRunContext.get()
    key = context.flow_run.idempotency_key if context and context.flow_run else None
    decided = admit(the_lake(), candidate, str(flow_run.id), key, find_run, datetime.now(UTC))
    if decided is not None:
        report_decision.fn(decided)
    return decided is None or decided.decision.decision == "train"


def admit(lake: Lake, candidate: Candidate, run: str, key: str | None, look: LookUp, now: datetime) -> Decided | None:
    """Enter a run in the ledger; None where there is nothing to decide: it was set off by the ledger, or tests a release again."""
    if candidate.retest:
        return None
    own_key = key or f"run-{run}"
    beginning = Beginning(run=run, candidate=candidate.key, data_version=candidate.data_version.version, at=now)
    if _begin(lake, candidate.model, own_key, beginning):
        return None
    person = candidate.started_by.startswith("person:")
    decided = _by_person(lake, candidate, run, own_key, now) if person else _by_policy(lake, candidate, run, own_key, look, now)
    _begin(lake, candidate.model, own_key, beginning)
    return decided


def _begin(lake: Lake, model: str, run_key: str, beginning: Beginning) -> bool:
    """Note the beginning of the open training whose run this is; whether there is one."""
    mine = [one.training for one in past_trainings(lake, model, beginning.at) if one.open and one.training.run_key == run_key]
    for training in mine[-1:]:
        note_beginning(lake, training, beginning)
    return bool(mine)


def _by_policy(lake: Lake, candidate: Candidate, run: str, run_key: str, look: LookUp, now: datetime) -> Decided:
    return decide_once(lake, candidate.model, candidate.started_by, run, look, now, run_key)


def _by_person(lake: Lake, candidate: Candidate, run: str, run_key: str, now: datetime) -> Decided:
    """A person's training is entered without asking the policy."""
    for _ in range(ATTEMPTS):
        number = next_number(lake, candidate.model)
        decision = Decision(
            model=candidate.model,
            dataset=candidate.data_version.dataset,
            at=now,
            trigger=candidate.started_by,
            data_version=candidate.data_version.version,
            since=None,
            new_rows=None,
            decision="train",
            checks=(),
            reason=f"trains: started by {candidate.started_by}",
            training=number,
            decided_by=run,
        )
        training = Training(
            model=candidate.model,
            number=number,
            candidate=candidate.key,
            data_version=candidate.data_version.version,
            started_by=candidate.started_by,
            reason=decision.reason,
            at=now,
            set_off_by=run,
            run_key=run_key,
        )
        if claim(lake, training):
            keep_decision(lake, decision)
            return Decided(decision=decision)
    raise Conflict(f"{candidate.model}: {ATTEMPTS} other processes set off a training at the same moment; run it again")

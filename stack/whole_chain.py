"""`headgate run` and the commands that are parts of it: what is left to do, done in order, with progress.

Import this only once the stack's addresses are in the environment: Prefect reads its settings when it is imported.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import UUID

from headgate.data.frozen import freeze
from headgate.data.landing import land, pending
from headgate.data.parsing import read_rows
from headgate.errors import BadInput, NotFound, Refused
from headgate.release.approval import Answer, decision_of
from headgate.release.audit import entries
from headgate.release.binding import require_evidence
from headgate.release.candidate import Standing, candidate_key, standing
from headgate.release.champion import champion
from headgate.release.record import Release, load_release, resolve
from headgate.release.rollback import proof_of, same_rollback
from headgate.settings import ModelSettings, load_settings
from stack.following import Follower
from stack.orchestration import answer, client, gate_run, open_trainings, start_run
from stack.services import Addresses
from stack.summary import closing_lines, how_to_approve
from stack.terminal import ask_person
from tasks.candidates import explain, newest_data, production
from tasks.gate import judge_answer
from tasks.places import endpoint_name, evidence_url, target_named, the_lake
from tasks.rolling_back import stopped_between

Say = Callable[[str], None]


class Answering(NamedTuple):
    """A release that answers beside the champion, and where."""

    release: str
    environment: str


class Approver(NamedTuple):
    """Who approves unattended, and why."""

    who: str
    why: str


def run_chain(model: str, started_by: str, unattended: Approver | None, addresses: Addresses, say: Say) -> int:
    """Everything that is left to do for a model; returns the exit code."""
    settings = load_settings().model(model)
    take_in(model, settings, say)
    known = train_if_new(model, settings, started_by, say)
    if known.kind == "waiting":
        known = pass_gate(model, known, unattended, say)
    for line in closing_lines(model, known, addresses):
        say(line)
    return 0 if known.kind in ("live", "waiting") else 1


def take_in(model: str, settings: ModelSettings, say: Say) -> None:
    """Freeze the regression rows and land the annotation files that the settings name, each once; then ingest."""
    lake = the_lake()
    if settings.regression_rows:
        parsed = read_rows(settings.regression_rows, settings.labels)
        for bad in parsed.bad:
            say(f"left out of the regression set: {bad}")
        freeze(lake, settings.regression_set, parsed.rows)
    for file in settings.annotations:
        land(lake, settings.dataset, file)
    if waiting := pending(lake, settings.dataset):
        say(f"ingesting {len(waiting)} landing file(s) ...")
        follow(start_run("ingest_annotations", {"model": model}), say)


def train_if_new(model: str, settings: ModelSettings, started_by: str, say: Say) -> Standing:
    """Train and test a candidate for the newest data unless one is known; says why if not. A training under way is followed first."""
    if not follow_open_trainings(model, say):
        return newest_standing(model, settings)
    lake, environment = the_lake(), production(settings)
    data, regression = newest_data(lake, settings)
    key = candidate_key(data, regression, settings)
    known = standing(lake, model, key, environment)
    if known.kind != "new":
        say(f"no training needed: {explain(known, data)}")
        return known
    say(f"training a candidate on data version {data.version} ({data.rows} rows) ...")
    follow(start_run("train_candidate", {"model": model, "started_by": started_by}, idempotency_key=f"train-{model}-{key}"), say)
    return standing(lake, model, key, environment)


def follow_open_trainings(model: str, say: Say) -> bool:
    """Follow the trainings that somebody else set off, one after the other; False if one of them failed."""
    while under_way := open_trainings(model):
        run = under_way[0]
        say(f"a training is under way, started by {run.parameters.get('started_by')}; following it ...")
        follow(run.id, say)
        with client() as api:
            state = api.read_flow_run(run.id).state
        if state and state.is_final() and not state.is_completed():
            return False
    return True


def newest_standing(model: str, settings: ModelSettings) -> Standing:
    """Where the candidate of the newest data version is."""
    data, regression = newest_data(the_lake(), settings)
    return standing(the_lake(), model, candidate_key(data, regression, settings), production(settings))


def pass_gate(model: str, known: Standing, unattended: Approver | None, say: Say) -> Standing:
    """Get an answer about a waiting release, from here or from the Prefect UI, and follow the rollout."""
    assert known.release is not None
    release = load_release(the_lake(), known.release)
    run_id = waiting_run(release)
    run = Follower(run_id, say).until("Suspended")
    if run.state and run.state.name == "Suspended":
        say(f"release {release.id[:12]} waits for approval; evidence: {evidence_url(release.id)}")
        if not get_answer(release, run_id, unattended, say):
            return known
        follow(run_id, say)
    return _now(model, release)


def waiting_run(release: Release) -> UUID:
    """The gate run of a release, started if the training run was killed before it could, and again if it failed on its way."""
    run = gate_run(release)
    if run and not (run.state and run.state.is_final()):
        return run.id
    return start_run("release_candidate", {"release": release.id}, idempotency_key=release.evidence_digest)


def get_answer(release: Release, run_id: UUID, unattended: Approver | None, say: Say) -> bool:
    """Whether the question was answered: unattended, on the terminal, or meanwhile in the Prefect UI."""
    if load_settings().model(release.model).approval.signatures:
        for line in how_to_approve(release, run_id):
            say(line)
        return False
    if unattended:
        say(f"approving as {unattended.who}: {unattended.why}")
        return send(run_id, "approve", unattended.who, unattended.why)
    filled = ask_person(release, run_id, say)
    if filled == "elsewhere":
        say("answered elsewhere (what was typed here is dropped); following the release ...")
        return True
    if filled is None:
        for line in how_to_approve(release, run_id):
            say(line)
        return False
    return send(run_id, *filled)


def send(run_id: UUID, decision: str, who: str, why: str) -> bool:
    """Fill in the form of the suspended run."""
    with client() as api:
        answer(api.read_flow_run(run_id), decision, who, why)
    return True


def check_answer(release: Release, decision: Literal["approve", "reject"], who: str, why: str) -> None:
    """Refused at once, with every reason, if the flow would refuse the answer, or if the evidence is not what the release names."""
    if release.verdict != "passed":
        raise Refused(f"release {release.id[:12]} is stopped already: its tests {release.verdict}; nothing is left to decide")
    if decision_of(the_lake(), release.id):
        raise Refused(f"release {release.id[:12]} is decided already; see `headgate audit`")
    if found := judge_answer(release, Answer(decision=decision, approver=who, reason=why), timedelta()):
        raise Refused(f"release {release.id[:12]}: {'; '.join(found)}")
    if decision == "approve":
        require_evidence(the_lake(), release)


def follow(run_id: UUID, say: Say) -> None:
    """Show a run until its end or its question; a failed run is shown, and judged by its records."""
    run = Follower(run_id, say).until("Suspended")
    if run.state and run.state.is_final() and not run.state.is_completed():
        say(f"  {run.state.name}: {run.state.message}")


def _now(model: str, release: Release) -> Standing:
    """Where the release is after its gate run."""
    settings = load_settings().model(model)
    return standing(the_lake(), model, release.candidate, production(settings))


def ingest_files(model: str, files: Sequence[Path], say: Say) -> int:
    """Land files and merge them into a data version."""
    settings = load_settings().model(model)
    for file in files:
        say(f"landed {file} as {land(the_lake(), settings.dataset, file)}")
    follow(start_run("ingest_annotations", {"model": model}), say)
    say(f"next: headgate triggers --model {model} (whether the new rows set off a training), or headgate run --model {model}")
    return 0


def decide(release_id: str, decision: Literal["approve", "reject"], who: str, why: str, say: Say) -> int:
    """Answer for a waiting release from the command line."""
    release = load_release(the_lake(), release_id)
    if decision == "approve" and _decided_with(release, who):
        say("answered by another who signed; following the release ...")
        run_id = waiting_run(release)
    else:
        check_answer(release, decision, who, why)
        run_id = waiting_run(release)
        Follower(run_id, lambda _: None).until("Suspended")
        _send_or_find_answered(run_id, decision, who, why, say)
    follow(run_id, say)
    known = _now(release.model, release)
    wanted = "live" if decision == "approve" else "rejected"
    say(f"release {release.id[:12]} is {known.kind}{f': {known.why}' if known.why else ''}")
    return 0 if known.kind == wanted else 1


def _decided_with(release: Release, who: str) -> bool:
    """Whether the release was approved a moment ago with this person's signature: of several who sign at once, one answers."""
    known = decision_of(the_lake(), release.id)
    return known is not None and known.decision == "approve" and who.strip() in known.signed_by


def _send_or_find_answered(run_id: UUID, decision: str, who: str, why: str, say: Say) -> None:
    """Answer; where somebody else was faster, say so and go on."""
    try:
        send(run_id, decision, who, why)
    except BadInput:
        if _still_waits(run_id):
            raise
        say("answered elsewhere a moment earlier; following the release ...")


def _still_waits(run_id: UUID) -> bool:
    with client() as api:
        state = api.read_flow_run(run_id).state
    return state is not None and state.name == "Suspended"


def retest(release_id: str, started_by: str, say: Say) -> int:
    """Test a release again against today's champion."""
    release = load_release(the_lake(), release_id)
    follow(start_run("train_candidate", {"model": release.model, "started_by": started_by, "retest": release.id}), say)
    known = _now(release.model, release)
    say(f"next: headgate run --model {release.model}" if known.kind == "waiting" else f"the release is {known.kind}: {known.why}")
    return 0 if known.kind == "waiting" else 1


def roll_back(model: str, who: str, why: str, to: str | None, say: Say) -> int:
    """Go back to an earlier release everywhere; the same command again, after it was cut off or failed, is the same rollback."""
    lake, settings = the_lake(), load_settings().model(model)
    if not why.strip():
        raise Refused("expected why the release goes back, found nothing; give --reason")
    before = champion(lake, model, production(settings))
    again = same_rollback(entries(lake), model, production(settings), who, why) if to is None else None
    if before and again and _proven_everywhere(model, again):
        say(
            f"{model}: this rollback is done already: release {before.release[:12]} is champion in {production(settings)} since "
            f"{before.since:%Y-%m-%d %H:%M}; to go back from it as well, give another reason or --to RELEASE"
        )
        return 0
    if before and to is None and not again and (under_way := _challenger(model)):
        raise Refused(
            f"{model}: release {under_way.release[:12]} is being rolled out in {under_way.environment}, beside the champion "
            f"{before.release[:12]}; to end its rollout: headgate rollback --to {before.release[:12]} --reason ...; "
            "to leave the champion as well, name an earlier release with --to"
        )
    if before and to is None and not again and (told := stopped_between(lake, settings, before)):
        raise Refused(told)
    wanted = again or (resolve(lake, to) if to else (before.previous[0] if before and before.previous else None))
    if before is None or wanted is None:
        raise NotFound(f"{model}: expected an earlier release to go back to, found none")
    key = f"rollback-{model}-{before.release}-{before.since.isoformat()}-{wanted}"
    run = start_run("rollback_release", {"model": model, "who": who, "reason": why, "to": wanted}, key)
    follow(run, say)
    return _tell_rollback(model, wanted, run, say)


def _challenger(model: str) -> Answering | None:
    """A release that answers beside a champion in some stage; a shadow's candidate gives nobody an answer, and is no release yet."""
    for stage in load_settings().model(model).rollout.stages:
        found = target_named(stage.target).status(endpoint_name(model, stage.environment)).challenger
        if found and not found.release.startswith("candidate-"):
            return Answering(found.release, stage.environment)
    return None


def _proven_everywhere(model: str, release: str) -> bool:
    """Whether the last word about every stage that has a champion is that this release was put back and verified."""
    log, lake = entries(the_lake()), the_lake()
    stages = [stage.environment for stage in load_settings().model(model).rollout.stages if champion(lake, model, stage.environment)]
    return all(proof_of(log, model, environment, release) for environment in stages)


def _tell_rollback(model: str, wanted: str, run_id: UUID, say: Say) -> int:
    """What was verified in each stage; 0 only where the run itself completed and every stage has its proof."""
    log, lake, settings = entries(the_lake()), the_lake(), load_settings().model(model)
    with client() as api:
        state = api.read_flow_run(run_id).state
    done = state is not None and state.is_completed()
    for stage in reversed(settings.rollout.stages):
        proof, live = proof_of(log, model, stage.environment, wanted), champion(lake, model, stage.environment)
        told = f"verified {proof.at:%H:%M:%S}: {proof.reason}" if proof else "not verified"
        say(f"{model}: release {live.release[:12] if live else 'none'} is champion in {stage.environment}, {told}")
        done = done and (live is None or (live.release == wanted and proof is not None))
    if not done:
        say(f"{model}: the rollback to release {wanted[:12]} is not finished; `headgate audit --model {model}` says why, then repeat it")
    return 0 if done else 1

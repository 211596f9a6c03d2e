"""The approval gate: what is asked, whether the answer counts, and where it is kept."""

from datetime import UTC, datetime, timedelta

from prefect.logging import get_run_logger

from headgate.errors import HeadgateError, Refused
from headgate.release.approval import Answer, Decision, archive, decide, decision_of, faults, note_question, was_asked
from headgate.release.audit import append, entries, over
from headgate.release.champion import champion
from headgate.release.decisions import AUTOMATION, answer_by_history, history
from headgate.release.notice import decided_text, send, waiting_text
from headgate.release.record import Release, Tested, folder, load_release
from headgate.release.registry import drop_alias
from headgate.release.signatures import Signatures, how_to_sign, signature_faults, signatures
from headgate.settings import load_settings
from tasks.asking import start_gate_run
from tasks.candidates import production
from tasks.once import once_per_run
from tasks.places import evidence_url, in_regions, the_lake


@once_per_run("request approval")
def request_approval(tested: Tested) -> None:
    """Start the run that waits for a person; the same evidence starts one run only."""
    start_gate_run(load_release(the_lake(), tested.release))


def open_release(release_id: str) -> Release:
    """The release that is asked about; Refused unless its tests passed."""
    release = load_release(the_lake(), release_id)
    if release.verdict != "passed":
        raise Refused(f"release {release.id[:12]}: its tests {release.verdict}; only a release that passed can be approved")
    return release


def approval_text(release: Release, refusals: list[str]) -> str:
    """What the form shows: why an earlier answer did not count, how to sign where that is needed, then the evidence with its link."""
    summary = the_lake().read(f"{folder(release.id)}/evidence/summary.md").decode()
    refused = [f"**Your answer was refused**: {fault}\n" for fault in refusals]
    needed = load_settings().model(release.model).approval.signatures
    signed = [f"**Approving takes {needed} signature(s), not this form**: `{how_to_sign(release)}`\n"] if needed else []
    return "\n".join([*refused, *signed, summary])


def judge_answer(release: Release, answer: Answer, age: timedelta) -> list[str]:
    """Why an answer of a person does not count; empty if it does."""
    found = _faults(release, answer, age)
    if answer.approver.strip().casefold().startswith("automation:"):
        found.append(f"approver: expected a person, found {answer.approver.strip()}; names of machines are not taken")
    policy = load_settings().model(release.model).approval
    try:
        return found + signature_faults(answer, _signatures(release), release, policy)
    except Refused as fault:
        return [*found, f"signature: {fault}"]


def _faults(release: Release, answer: Answer, age: timedelta) -> list[str]:
    settings = load_settings().model(release.model)
    live = champion(the_lake(), release.model, production(settings))
    return faults(answer, release, live.release if live else None, settings.approval, age)


def _signatures(release: Release) -> Signatures:
    """Those in the lake that count now; none are looked for where none are asked for and no file says whose count."""
    policy = load_settings().model(release.model).approval
    if policy.signatures == 0 and not policy.allowed_signers.is_file():
        return Signatures((), ())
    return signatures(the_lake(), release, policy, datetime.now(UTC))


def answer_before_asking(release: Release) -> Answer | None:
    """The gate's own answer where it may give one; None: a person is asked, which the webhook tells once.

    Prefect replays people's answers when the run starts again and does not count that start, so the lake remembers that a person was
    asked: the gate never overrules one.
    """
    lake = the_lake()
    if was_asked(lake, release.id):
        return None
    if own := _automatic_answer(release):
        return own
    note_question(lake, release.id, datetime.now(UTC))
    _tell_waiting(release)
    return None


def _automatic_answer(release: Release) -> Answer | None:
    """The gate's own approval where the policy allows it and the history of decisions is long enough; None: ask a person."""
    policy = load_settings().model(release.model).approval.auto_after
    why = answer_by_history(history(the_lake(), release.model), policy) if policy else None
    if why is None:
        return None
    answer = Answer(decision="approve", approver=AUTOMATION, reason=why)
    if found := _faults(release, answer, timedelta()):
        get_run_logger().info("%s does not answer: %s", AUTOMATION, "; ".join(found))
        return None
    return answer


def keep_decision(release: Release, answer: Answer) -> Decision:
    """Archive the decision beside the release and in the audit log; of a signed approval the signed reason is kept."""
    found = _signatures(release) if answer.decision == "approve" else Signatures((), ())
    signed = [signer.reason for signer in found.counted if signer.who == answer.approver.strip()]
    said = answer.model_copy(update={"reason": signed[0]}) if signed else answer
    policy = load_settings().model(release.model).approval
    archive(the_lake(), decide(said, release, datetime.now(UTC), policy, found.names))
    decision = recorded_decision(release)
    assert decision is not None
    get_run_logger().info("%s by %s: %s", decision.decision, decision.approver, decision.reason)
    _tell(decided_text(release, decision))
    return decision


def recorded_decision(release: Release) -> Decision | None:
    """The archived decision, told to the audit log if a kill came between; None while the release is open."""
    lake = the_lake()
    decision = decision_of(lake, release.id)
    if decision is None or any(entry.release == release.id and entry.action == decision.decision for entry in entries(lake)):
        return decision
    append(
        lake,
        now=decision.decided_at,
        who=decision.approver,
        action=decision.decision,
        model=release.model,
        release=release.id,
        reason=decision.reason,
        over=over(release, decision.signed_by),
    )
    return decision


def _tell_waiting(release: Release) -> None:
    """Say on the webhook that a release waits, if one is set."""
    needed = load_settings().model(release.model).approval.signatures
    _tell(waiting_text(release, evidence_url(release.id), needed))


def _tell(text: str) -> None:
    """Send a notice; a webhook that does not take it stops no release."""
    try:
        if send(load_settings().notice, text):
            get_run_logger().info("a notice was sent")
    except HeadgateError as fault:
        get_run_logger().warning("no notice was sent: %s", fault)


def mirror_decided(release: Release, decision: Decision) -> None:
    """Show a decision in SageMaker's Model Registry, where a region of headgate.toml wants that."""
    if in_regions(load_settings().model(release.model)):
        from tasks.regions import mirror_decision

        mirror_decision(release, decision)


def close_rejected(release: Release, decision: Decision) -> str:
    """Keep the champion; the challenger is no challenger any more."""
    drop_alias(release.model, "challenger", release.registered_version)
    mirror_decided(release, decision)
    get_run_logger().info("release %s was rejected by %s: %s", release.id[:12], decision.approver, decision.reason)
    return "rejected"

"""The approval gate: what is asked, whether the answer counts, and where it is kept."""

from datetime import UTC, datetime, timedelta

from prefect.deployments import run_deployment
from prefect.logging import get_run_logger

from headgate.errors import Refused
from headgate.release.approval import Answer, Decision, archive, decide, faults
from headgate.release.audit import append
from headgate.release.champion import champion
from headgate.release.record import Release, folder, load_release
from headgate.release.registry import drop_alias
from headgate.settings import load_settings
from tasks.candidates import production
from tasks.evidence import Tested
from tasks.once import once_per_run
from tasks.places import evidence_url, the_lake


@once_per_run("request approval")
def request_approval(tested: Tested) -> None:
    """Start the run that waits for a person; the same evidence starts one run only."""
    release = load_release(the_lake(), tested.release)
    run_deployment(
        "release_candidate/default",
        parameters={"release": release.id},
        timeout=0,
        as_subflow=False,
        idempotency_key=release.evidence_digest,
    )
    get_run_logger().info("release %s waits for approval; evidence: %s", release.id[:12], evidence_url(release.id))


def open_release(release_id: str) -> Release:
    """The release that is asked about; Refused unless its tests passed."""
    release = load_release(the_lake(), release_id)
    if release.verdict != "passed":
        raise Refused(f"release {release.id[:12]}: its tests {release.verdict}; only a release that passed can be approved")
    return release


def approval_text(release: Release, refusals: list[str]) -> str:
    """What the form shows: why an earlier answer did not count, then the evidence summary with its link."""
    summary = the_lake().read(f"{folder(release.id)}/evidence/summary.md").decode()
    refused = [f"**Your answer was refused**: {fault}\n" for fault in refusals]
    return "\n".join([*refused, summary])


def judge_answer(release: Release, answer: Answer, age: timedelta) -> list[str]:
    """Why an answer does not count; empty if it does."""
    settings = load_settings().model(release.model)
    live = champion(the_lake(), release.model, production(settings))
    return faults(answer, release, live.release if live else None, settings.approval, age)


def keep_decision(release: Release, answer: Answer) -> Decision:
    """Archive the decision beside the release and in the audit log."""
    lake = the_lake()
    decision = archive(lake, decide(answer, release, datetime.now(UTC)))
    append(
        lake,
        now=decision.decided_at,
        who=decision.approver,
        action=decision.decision,
        model=release.model,
        release=release.id,
        reason=decision.reason,
    )
    get_run_logger().info("%s by %s: %s", decision.decision, decision.approver, decision.reason)
    return decision


def close_rejected(release: Release, decision: Decision) -> str:
    """Keep the champion; the challenger is no challenger any more."""
    drop_alias(release.model, "challenger", release.registered_version)
    get_run_logger().info("release %s was rejected by %s: %s", release.id[:12], decision.approver, decision.reason)
    return "rejected"

"""A person's decision about a release, and whether it counts. The judging is pure."""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from headgate.data.version import DataVersion
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.record import Release, folder
from headgate.settings import Approval as ApprovalPolicy


class Answer(Record):
    """What a person filled in, wherever they did."""

    decision: Literal["approve", "reject"]
    approver: str
    reason: str


class Decision(Record):
    """An answer that counted, with the digests it was about; the last four fields are missing from decisions of older versions."""

    release: str
    decision: Literal["approve", "reject"]
    approver: str
    reason: str
    decided_at: datetime
    bundle_digest: str
    evidence_digest: str
    expected_champion: str | None
    image_digest: str | None = None
    data_version: DataVersion | None = None
    expires_at: datetime | None = Field(None, description="a rollout that begins later is refused")
    signed_by: tuple[str, ...] = Field((), description="whose SSH signatures counted; the signatures lie beside the release")


class Question(Record):
    """That a person was asked about a release: from then on no machine answers."""

    release: str
    asked_at: datetime


def was_asked(lake: Lake, release_id: str) -> bool:
    """Whether a person was ever asked about a release."""
    return lake.get(_question_key(release_id)) is not None


def note_question(lake: Lake, release_id: str, now: datetime) -> None:
    """Remember that a person is asked; the first time is kept."""
    lake.put_if_absent(_question_key(release_id), Question(release=release_id, asked_at=now).to_bytes())


def faults(answer: Answer, release: Release, live: str | None, policy: ApprovalPolicy, age: timedelta) -> list[str]:
    """Why an answer does not count; empty if it does. `live` is the production champion now, `age` that of the request."""
    found = []
    if not answer.approver.strip():
        found.append("approver: expected who decides, found nothing")
    elif not answer.approver.strip().isprintable():
        found.append(f"approver: expected one line of printable text, found {answer.approver!r}")
    if not answer.reason.strip():
        found.append("reason: expected why, found nothing")
    if answer.decision == "reject":
        return found
    if live not in (release.expected_champion, release.id):
        found.append(
            f"stale: the evidence compares with champion {_short(release.expected_champion)}, but {_short(live)} is live now; "
            "run `headgate retest` for new evidence"
        )
    if age > timedelta(days=policy.timeout_days):
        found.append(f"expired: asked {age.days} days ago, an answer counts for {policy.timeout_days:g} days")
    if policy.forbid_self_approval and release.started_by.casefold() == f"person:{answer.approver.strip()}".casefold():
        found.append(f"self-approval: {answer.approver} started this release and approval.forbid_self_approval is set")
    return found


def decide(answer: Answer, release: Release, now: datetime, policy: ApprovalPolicy, signed_by: tuple[str, ...] = ()) -> Decision:
    """The decision that an answer makes, bound to the release's digests; it expires after the policy's days."""
    return Decision(
        release=release.id,
        decision=answer.decision,
        approver=answer.approver.strip(),
        reason=answer.reason.strip(),
        decided_at=now,
        bundle_digest=release.bundle_digest,
        evidence_digest=release.evidence_digest,
        expected_champion=release.expected_champion,
        image_digest=release.image_digest,
        data_version=release.data_version,
        expires_at=now + timedelta(days=policy.timeout_days),
        signed_by=signed_by,
    )


def _key(release_id: str) -> str:
    return f"{folder(release_id)}/approval.json"


def _question_key(release_id: str) -> str:
    return f"{folder(release_id)}/asked.json"


def archive(lake: Lake, decision: Decision) -> Decision:
    """Keep the decision beside the release; the first one written is the one that counts, and is returned."""
    lake.put_if_absent(_key(decision.release), decision.to_bytes())
    kept = decision_of(lake, decision.release)
    assert kept is not None
    return kept


def decision_of(lake: Lake, release_id: str) -> Decision | None:
    """The archived decision about a release, or None while it is open."""
    entry = lake.get(_key(release_id))
    return Decision.model_validate_json(entry.data) if entry else None


def require_approval(decision: Decision | None, release: Release) -> Decision:
    """The decision itself; Refused unless it approves exactly these digests."""
    if decision is None or decision.decision != "approve":
        raise Refused(f"release {release.id[:12]}: expected an approval, found {decision.decision if decision else 'none'}")
    bound = (decision.release, decision.bundle_digest, decision.evidence_digest, decision.expected_champion, decision.image_digest)
    asked = (release.id, release.bundle_digest, release.evidence_digest, release.expected_champion, release.image_digest)
    if bound != asked or decision.data_version not in (None, release.data_version):
        raise Refused(f"release {release.id[:12]}: its approval is about other digests; it cannot be used")
    return decision


def _short(release: str | None) -> str:
    return release[:12] if release else "none"

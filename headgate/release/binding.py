"""What a rollout verifies before it moves any traffic: the approval is about exactly this, is fresh, signed, and not used yet.

Everything is read from the lake and the allowed_signers file again; what the approval form accepted earlier counts for nothing here.
"""

import hashlib
from datetime import datetime

from headgate.errors import NotFound, Refused, Stale
from headgate.lake import Lake
from headgate.record import Record
from headgate.release.approval import Decision, decision_of, require_approval
from headgate.release.champion import Champion
from headgate.release.decisions import AUTOMATION
from headgate.release.record import Release, folder
from headgate.release.signatures import require_signatures
from headgate.settings import Approval as ApprovalPolicy


class ApprovalUse(Record):
    """The one rollout that an approval serves."""

    release: str
    rollout: str
    begun_at: datetime


def require_binding(
    lake: Lake, release: Release, policy: ApprovalPolicy, live: Champion | None, rollout: str, now: datetime
) -> ApprovalUse:
    """Let this rollout use the release's approval; Refused or Stale says why it may not. A rollout that goes on finds its use again.

    `live` is production's champion; `rollout` names this rollout and is the same when it is started again after a kill.
    """
    decision = require_approval(decision_of(lake, release.id), release)
    use = use_of(lake, release.id)
    if use is None:
        _require_fresh(decision, release, live, now)
    elif use.rollout != rollout:
        raise Refused(f"{_subject(release)} was used by rollout {use.rollout} on {use.begun_at:%Y-%m-%d}; {_AGAIN}")
    at = use.begun_at if use else now
    _require_policy(decision, release, policy)
    require_signatures(lake, release, policy, at)
    require_evidence(lake, release)
    return use or _begin(lake, release, rollout, now)


def use_of(lake: Lake, release: str) -> ApprovalUse | None:
    """The rollout that used the approval of a release, or None."""
    entry = lake.get(_key(release))
    return ApprovalUse.model_validate_json(entry.data) if entry else None


def require_evidence(lake: Lake, release: Release) -> None:
    """Refused unless the evidence page in the lake is the one that the release names."""
    key = f"{folder(release.id)}/evidence/index.html"
    try:
        found = hashlib.sha256(lake.read(key)).hexdigest()
    except NotFound:
        found = "none"
    if found != release.evidence_digest:
        raise Refused(
            f"release {release.id[:12]}: expected evidence {release.evidence_digest[:12]} at {lake.join(key)}, found {found[:12]}; "
            "what was approved is not there any more: run `headgate retest` for new evidence"
        )


_AGAIN = "one approval serves one rollout: run `headgate retest` for a new one, or `headgate rollback --to` for an earlier champion"


def _require_fresh(decision: Decision, release: Release, live: Champion | None, now: datetime) -> None:
    """What must hold when a rollout begins, and need not hold any more once it is under way."""
    if decision.expires_at and now > decision.expires_at:
        raise Refused(f"{_subject(release)} expired on {decision.expires_at:%Y-%m-%d %H:%M} UTC; run `headgate retest` for a new one")
    if live and release.id in live.previous:
        raise Refused(f"{_subject(release)} was used: the release was champion before {live.release[:12]}; {_AGAIN}")
    if (live.release if live else None) not in (release.expected_champion, release.id):
        raise Stale(
            f"{_subject(release)} is stale: expected champion {(release.expected_champion or 'none')[:12]}, "
            f"found {live.release[:12] if live else 'none'}; run `headgate retest` for new evidence"
        )


def _require_policy(decision: Decision, release: Release, policy: ApprovalPolicy) -> None:
    """An answer of the gate itself counts only while the policy allows it."""
    if decision.approver == AUTOMATION and policy.auto_after is None:
        raise Refused(f"{_subject(release)} was given by {AUTOMATION}, but approval.auto_after is not set any more; run `headgate retest`")


def _begin(lake: Lake, release: Release, rollout: str, now: datetime) -> ApprovalUse:
    """Take the approval; of two rollouts at once one gets it."""
    lake.put_if_absent(_key(release.id), ApprovalUse(release=release.id, rollout=rollout, begun_at=now).to_bytes())
    use = use_of(lake, release.id)
    if use is None or use.rollout != rollout:
        raise Refused(f"{_subject(release)} is being used by rollout {use.rollout if use else 'unknown'}; {_AGAIN}")
    return use


def _key(release: str) -> str:
    return f"{folder(release)}/approval_use.json"


def _subject(release: Release) -> str:
    return f"release {release.id[:12]}: its approval"

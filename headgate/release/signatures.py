"""Signed approvals of a release: what is signed, where it is kept, and whose signatures count.

A signature is over the canonical bytes of a `Statement`, which names every digest of the release, so that it is good for nothing else.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, ValidationError

from headgate.data.version import DataVersion
from headgate.errors import Refused
from headgate.lake import Lake
from headgate.record import Record
from headgate.release import ssh_signature
from headgate.release.approval import Answer
from headgate.release.record import Release, folder
from headgate.settings import Approval as ApprovalPolicy

CLOCKS_DIFFER = timedelta(minutes=5)


class Statement(Record):
    """What a person signs: their decision, and over what."""

    purpose: Literal["headgate approval 1"] = "headgate approval 1"
    decision: Literal["approve"]
    approver: str
    reason: str
    model: str
    release: str
    bundle_digest: str
    image_digest: str | None
    data_version: DataVersion
    evidence_digest: str
    expected_champion: str | None
    decided_at: AwareDatetime
    expires_at: AwareDatetime


class SignedStatement(Record):
    """A statement with the armoured SSH signature of its bytes, as it rests in the lake."""

    statement: Statement
    signature: str


class Signer(NamedTuple):
    """A person whose signature counts."""

    who: str
    reason: str
    at: datetime
    key: str


class Signatures(NamedTuple):
    """Whose signatures count, and why the others do not."""

    counted: tuple[Signer, ...]
    faults: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Who signed, in the order of signing."""
        return tuple(signer.who for signer in self.counted)


def statement_of(release: Release, who: str, reason: str, now: datetime, policy: ApprovalPolicy) -> Statement:
    """What approving a release says; BadInput where the name cannot be one of an allowed_signers file."""
    return Statement(
        decision="approve",
        approver=ssh_signature.checked_identity(who.strip()),
        reason=reason.strip(),
        model=release.model,
        release=release.id,
        bundle_digest=release.bundle_digest,
        image_digest=release.image_digest,
        data_version=release.data_version,
        evidence_digest=release.evidence_digest,
        expected_champion=release.expected_champion,
        decided_at=now,
        expires_at=now + timedelta(days=policy.timeout_days),
    )


def statement_fault(said: Statement, release: Release, policy: ApprovalPolicy, at: datetime) -> str | None:
    """Why a statement says nothing about this release at this time, or None."""
    if said.decided_at > at + CLOCKS_DIFFER:
        return f"is dated {said.decided_at:%Y-%m-%d %H:%M} UTC, which is yet to come"
    own = statement_of(release, said.approver, said.reason, said.decided_at, policy)
    if said != own.model_copy(update={"expires_at": said.expires_at}):
        return "is over other digests than those of this release"
    if at > (ends := min(said.expires_at, own.expires_at)):
        return f"expired on {ends:%Y-%m-%d %H:%M} UTC"
    return None


def signature_key(release: str, who: str) -> str:
    """Where a person's signature of a release is kept: one a person."""
    return f"{folder(release)}/signatures/{hashlib.sha256(who.casefold().encode()).hexdigest()}.json"


def sign_release(lake: Lake, release: Release, answer: Answer, key: Path, policy: ApprovalPolicy, now: datetime) -> Signer:
    """Sign an approval and keep it in the lake; a signature of theirs that counts already stays, one that no longer does is replaced."""
    statement = statement_of(release, answer.approver, answer.reason, now, policy)
    place = signature_key(release.id, statement.approver)
    entry = lake.get(place)
    if entry and isinstance(known := _judged(entry.data, release, policy, now), Signer):
        return known
    signed = SignedStatement(statement=statement, signature=ssh_signature.sign(statement.to_bytes(), key))
    fresh = _checked(signed, release, policy, now)
    lake.compare_and_swap(place, signed.to_bytes(), entry.tag if entry else None)
    return fresh


def signatures(lake: Lake, release: Release, policy: ApprovalPolicy, at: datetime) -> Signatures:
    """Everybody's signatures of a release, verified for a time; of those that may be one person's, the first counts."""
    kept = [lake.read(key) for key in lake.keys(f"{folder(release.id)}/signatures")]
    judged = [(data, _judged(data, release, policy, at)) for data in kept]
    faults = [found for _, found in judged if isinstance(found, str)]
    good = [(SignedStatement.model_validate_json(data), found) for data, found in judged if isinstance(found, Signer)]
    counted: list[tuple[SignedStatement, Signer]] = []
    for one in sorted(good, key=lambda pair: (pair[1].at, pair[1].who)):
        if same := [other for other in counted if _may_be_one_person(one, other, policy)]:
            faults.append(f"the signature of {one[1].who} does not count beside that of {same[0][1].who}: their keys may be one person's")
        else:
            counted.append(one)
    return Signatures(tuple(signer for _, signer in counted), tuple(faults))


def signature_faults(answer: Answer, found: Signatures, release: Release, policy: ApprovalPolicy) -> list[str]:
    """Why an answer lacks the signatures that the policy asks for; a rejection needs none."""
    if policy.signatures == 0 or answer.decision == "reject":
        return []
    if len(found.counted) < policy.signatures:
        return [f"signature: {lacking(found, release, policy)}"]
    if answer.approver.strip() not in found.names:
        return [f"approver: expected one of those who signed ({', '.join(found.names)}), found {answer.approver.strip()}"]
    return []


def lacking(found: Signatures, release: Release, policy: ApprovalPolicy) -> str:
    """How many signatures there are, why others do not count, and how one is made."""
    names = f" ({', '.join(found.names)})" if found.names else ""
    others = f"; {'; '.join(found.faults)}" if found.faults else ""
    return (
        f"expected those of {policy.signatures} people, found {len(found.counted)}{names}{others}; "
        f"sign it with `{how_to_sign(release)}`, which answers here too"
    )


def how_to_sign(release: Release) -> str:
    """The command with which a person signs."""
    return f'headgate approve {release.id[:12]} --as you@example.com --reason "..." --key ~/.ssh/id_ed25519'


def require_signatures(lake: Lake, release: Release, policy: ApprovalPolicy, at: datetime) -> Sequence[str]:
    """Who signed; Refused where the policy asks for more than the lake's records and the allowed_signers file prove."""
    if policy.signatures == 0:
        return ()
    found = signatures(lake, release, policy, at)
    if len(found.counted) < policy.signatures:
        raise Refused(f"release {release.id[:12]}: approval.signatures is not met: {lacking(found, release, policy)}")
    return found.names


def _judged(data: bytes, release: Release, policy: ApprovalPolicy, at: datetime) -> Signer | str:
    """Who signed, or why it does not count."""
    try:
        return _checked(SignedStatement.model_validate_json(data), release, policy, at)
    except ValidationError:
        return "a record among the signatures is none"
    except Refused as fault:
        return str(fault)


def _checked(signed: SignedStatement, release: Release, policy: ApprovalPolicy, at: datetime) -> Signer:
    """Who signed; Refused says why it does not count."""
    said = signed.statement
    if not ssh_signature.IDENTITY.fullmatch(said.approver):
        raise Refused(f"a signature by {said.approver!r}, which is no plain name")
    if fault := statement_fault(said, release, policy, at):
        raise Refused(f"the signature of {said.approver} {fault}")
    key = ssh_signature.verify(said.to_bytes(), signed.signature, said.approver, policy.allowed_signers, at)
    if policy.forbid_self_approval and _is_by(signed, release.started_by, policy, at):
        raise Refused(
            f"self-approval: {said.approver} signed with a key of who started this release and approval.forbid_self_approval is set"
        )
    return Signer(said.approver, said.reason, said.decided_at, key)


def _is_by(signed: SignedStatement, starter: str, policy: ApprovalPolicy, at: datetime) -> bool:
    """Whether a person who started the release signed, under whatever name."""
    kind, _, name = starter.partition(":")
    return kind == "person" and (signed.statement.approver.casefold() == name.casefold() or _verifies_as(signed, name, policy, at))


def _may_be_one_person(one: tuple[SignedStatement, Signer], other: tuple[SignedStatement, Signer], policy: ApprovalPolicy) -> bool:
    """Whether two signatures share a name or a key, or one's key is listed for the other's name (as a pattern such as `*` is)."""
    (first, a), (second, b) = one, other
    if a.who.casefold() == b.who.casefold() or a.key == b.key:
        return True
    return _verifies_as(first, b.who, policy, a.at) or _verifies_as(second, a.who, policy, b.at)


def _verifies_as(signed: SignedStatement, identity: str, policy: ApprovalPolicy, at: datetime) -> bool:
    if not ssh_signature.IDENTITY.fullmatch(identity):
        return False
    try:
        ssh_signature.verify(signed.statement.to_bytes(), signed.signature, identity, policy.allowed_signers, at)
    except Refused:
        return False
    return True

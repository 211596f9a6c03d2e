"""What the chain of the audit log cannot show by itself: a missing or changed end, and signatures.

The chain proves every entry but the last ones. Those are held against the records that they tell of: each decision, each champion and
each signature must have its entry, and each entry its record: what was decided, signed or promoted must still be there as it was, with the
evidence page that it was about. Who can delete entries and those records together leaves no trace in the lake; keep the log where
it cannot be deleted (S3 Object Lock, a copy elsewhere) if that matters.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from headgate.errors import HeadgateError
from headgate.lake import Lake
from headgate.release import ssh_signature
from headgate.release.approval import Decision, decision_of
from headgate.release.audit import AuditEntry
from headgate.release.binding import require_evidence
from headgate.release.champion import Champion
from headgate.release.record import Release, folder, load_release, release_ids
from headgate.release.signatures import SignedStatement, signature_key, statement_fault
from headgate.settings import Approval as ApprovalPolicy
from headgate.settings import ModelSettings


def faults_of(lake: Lake, log: Sequence[AuditEntry], models: dict[str, ModelSettings]) -> list[str]:
    """Everything that the log should tell and does not, and every signature that does not verify; empty where all is well."""
    found = [fault for name in release_ids(lake) for fault in _release_faults(lake, name, log, models)]
    found += [fault for entry in log if (fault := _entry_fault(lake, entry))]
    return found + [fault for key in lake.keys("champions") if (fault := _champion_fault(lake, key, log))]


def _release_faults(lake: Lake, name: str, log: Sequence[AuditEntry], models: dict[str, ModelSettings]) -> list[str]:
    try:
        release, decision = load_release(lake, name), decision_of(lake, name)
    except (HeadgateError, ValidationError) as broken:
        return [str(broken)]
    policy = models[release.model].approval if release.model in models else ApprovalPolicy()
    kept = [lake.read(key) for key in lake.keys(f"{folder(name)}/signatures")]
    found = [_decision_fault(decision, log) if decision else None]
    found += [_signature_fault(data, release, policy, log) for data in kept]
    return [f"release {name[:12]}: {fault}" for fault in found if fault]


def _entry_fault(lake: Lake, entry: AuditEntry) -> str | None:
    """Why the records do not bear out an entry."""
    subject = f"audit entry {entry.number} ({entry.action} {entry.release[:12]})"
    if lake.get(f"{folder(entry.release)}/release.json") is None:
        return f"{subject}: expected the release's record, found none"
    try:
        release, decision = load_release(lake, entry.release), decision_of(lake, entry.release)
    except (HeadgateError, ValidationError):
        return None  # the release's own check says what is wrong with its records
    fault = _unborne(lake, entry, release, decision)
    return f"{subject}: {fault}" if fault else None


def _unborne(lake: Lake, entry: AuditEntry, release: Release, decision: Decision | None) -> str | None:
    found = decision.decision if decision else "none"
    if entry.action in ("approve", "reject") and found != entry.action:
        return f"expected the archived decision '{entry.action}', found {found}"
    if entry.action == "sign" and lake.get(signature_key(entry.release, entry.who)) is None:
        return f"expected the signature of {entry.who}, found none"
    if entry.action == "promote" and (found != "approve" or release.verdict != "passed"):
        return f"expected a release that passed and was approved, found one whose tests {release.verdict} and whose decision is {found}"
    try:
        if entry.action == "approve":
            require_evidence(lake, release)
    except HeadgateError as fault:
        return str(fault)
    return None


def _decision_fault(decision: Decision, log: Sequence[AuditEntry]) -> str | None:
    """Why the log does not tell of a decision as it was archived."""
    told = [entry for entry in log if entry.release == decision.release and entry.action == decision.decision]
    same = [entry for entry in told if (entry.who, entry.reason, entry.at) == (decision.approver, decision.reason, decision.decided_at)]
    if same:
        return None
    subject = f"expected an entry '{decision.decision}' by {decision.approver}"
    if told:
        return f"{subject} at {decision.decided_at:%Y-%m-%d %H:%M:%S}, found another; the entry or the archived decision was changed"
    return f"{subject}, found none; the log may have lost its end"


def _champion_fault(lake: Lake, key: str, log: Sequence[AuditEntry]) -> str | None:
    live = Champion.model_validate_json(lake.read(key))
    told = [entry for entry in log if (entry.model, entry.environment) == (live.model, live.environment)]
    moves = [entry.release for entry in told if entry.action in ("promote", "roll_back")]
    if live.release in moves:
        return None
    return (
        f"{live.model} in {live.environment}: expected an entry that made {live.release[:12]} champion, found none; "
        "the log may have lost its end"
    )


def _signature_fault(data: bytes, release: Release, policy: ApprovalPolicy, log: Sequence[AuditEntry]) -> str | None:
    """Why a kept signature does not prove what it says, judged for the time when it was made."""
    try:
        signed = SignedStatement.model_validate_json(data)
        said = signed.statement
        if fault := statement_fault(said, release, policy, said.decided_at):
            return f"the signature of {said.approver} {fault}"
        ssh_signature.verify(said.to_bytes(), signed.signature, said.approver, policy.allowed_signers, said.decided_at)
    except ValidationError:
        return "a record among the signatures is none"
    except HeadgateError as fault:
        return str(fault)
    if not any(entry.action == "sign" and entry.release == release.id and entry.who == said.approver for entry in log):
        return f"expected an entry 'sign' by {said.approver}, found none; the log may have lost its end"
    return None


def audit_lines(log: Sequence[AuditEntry]) -> list[str]:
    """Who, what, when and why, one line an entry; what it is over in a second one."""
    lines = []
    for entry in log:
        where = f" in {entry.environment}" if entry.environment else ""
        told = f"{entry.model} {entry.action}{where} {entry.release[:12]} by {entry.who}: {entry.reason}"
        lines.append(f"{entry.at:%Y-%m-%d %H:%M:%S} {_printable(told)}")
        if entry.over:
            lines.append(f"    over {_printable(_over(entry))}")
    return lines


def audit_json(log: Sequence[AuditEntry], faults: Sequence[str]) -> dict[str, Any]:
    """The entries with their hashes, and what is wrong."""
    return {"entries": [entry.model_dump(mode="json") | {"hash": entry.hash} for entry in log], "faults": list(faults)}


def _over(entry: AuditEntry) -> str:
    told = entry.over
    assert told is not None
    image = f", image {told.image_digest}" if told.image_digest else ""
    signed = f", signed by {', '.join(told.signed_by)}" if told.signed_by else ""
    return (
        f"bundle {told.bundle_digest[:12]}{image}, data {told.data_version[:40]}, evidence {told.evidence_digest[:12]}, "
        f"champion {(told.expected_champion or 'none')[:12]}{signed}"
    )


def _printable(text: str) -> str:
    """One line that cannot drive a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))

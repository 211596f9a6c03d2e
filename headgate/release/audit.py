"""The append-only audit log: each entry carries the hash of the one before, so that a change shows."""

import hashlib
from datetime import datetime

from pydantic import Field, ValidationError
from typing_extensions import override

from headgate.errors import BadInput, Conflict
from headgate.lake import Lake
from headgate.record import Record, canonical
from headgate.release.record import Release

FIRST = "0" * 64


class Over(Record):
    """The digests that a decision is about, and whose signatures it has."""

    bundle_digest: str
    image_digest: str | None
    data_version: str
    evidence_digest: str
    expected_champion: str | None
    signed_by: tuple[str, ...] = ()


def over(release: Release, signed_by: tuple[str, ...] = ()) -> Over:
    """What a decision about this release is over."""
    data = release.data_version
    return Over(
        bundle_digest=release.bundle_digest,
        image_digest=release.image_digest,
        data_version=f"{data.dataset}@{data.version} {data.digest}",
        evidence_digest=release.evidence_digest,
        expected_champion=release.expected_champion,
        signed_by=signed_by,
    )


class AuditEntry(Record):
    """Who did what to which release, when and why."""

    number: int
    before: str
    at: datetime
    who: str
    action: str
    model: str
    release: str
    environment: str | None = None
    reason: str
    over: Over | None = Field(None, description="of decisions and signatures; older versions wrote none")

    @override
    def to_bytes(self) -> bytes:
        """Canonical JSON; `over` is left out where it is empty, so that the hashes of older entries stay."""
        return canonical(self.model_dump(mode="json", exclude={"over"} if self.over is None else None))

    @property
    def hash(self) -> str:
        """sha256 of the entry, which the next one names."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def occasion(self) -> tuple[str, ...]:
        """What makes an entry the same event when a step is repeated."""
        return (self.action, self.model, self.release, self.environment or "", self.who, self.reason)


def entries(lake: Lake) -> list[AuditEntry]:
    """The whole log in order; BadInput names the first entry that cannot be read or whose chain is broken."""
    found = [_read(lake, key) for key in lake.keys("audit")]
    before = FIRST
    for number, entry in enumerate(found):
        if (entry.number, entry.before) != (number, before):
            raise BadInput(
                f"audit entry {number}: expected it to follow {before[:12]}, found number {entry.number} after {entry.before[:12]}"
            )
        before = entry.hash
    return found


def _read(lake: Lake, key: str) -> AuditEntry:
    try:
        return AuditEntry.model_validate_json(lake.read(key))
    except ValidationError as fault:
        raise BadInput(f"{lake.join(key)}: expected an audit entry, found none that can be read: {fault}") from None


def append(
    lake: Lake,
    *,
    now: datetime,
    who: str,
    action: str,
    model: str,
    release: str,
    reason: str,
    environment: str | None = None,
    over: Over | None = None,
    once: bool = True,
) -> AuditEntry:
    """Add an entry; with `once` an event that is already the model's latest of its kind is not written again."""
    for _ in range(50):
        log = entries(lake)
        new = AuditEntry(
            number=len(log),
            before=log[-1].hash if log else FIRST,
            at=now,
            who=who,
            action=action,
            model=model,
            release=release,
            environment=environment,
            reason=reason,
            over=over,
        )
        same = [old for old in log if (old.model, old.environment) == (model, environment)][-1:]
        if once and same and same[0].occasion == new.occasion:
            return same[0]
        if lake.put_if_absent(f"audit/{new.number:08d}.json", new.to_bytes()):
            return new
    raise Conflict("the audit log: 50 other writers came first; try again")

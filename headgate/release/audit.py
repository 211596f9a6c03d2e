"""The append-only audit log: each entry carries the hash of the one before, so that a change shows."""

import hashlib
import json
from datetime import datetime

from headgate.errors import BadInput, Conflict
from headgate.lake import Lake
from headgate.record import Record

FIRST = "0" * 64


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

    @property
    def hash(self) -> str:
        """sha256 of the entry, which the next one names."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def occasion(self) -> tuple[str, ...]:
        """What makes an entry the same event when a step is repeated."""
        return (self.action, self.model, self.release, self.environment or "", self.who, self.reason)


def entries(lake: Lake) -> list[AuditEntry]:
    """The whole log in order; BadInput names the first entry whose chain is broken."""
    found = [AuditEntry.model_validate(json.loads(lake.read(key))) for key in lake.keys("audit")]
    before = FIRST
    for number, entry in enumerate(found):
        if (entry.number, entry.before) != (number, before):
            raise BadInput(
                f"audit entry {number}: expected it to follow {before[:12]}, found number {entry.number} after {entry.before[:12]}"
            )
        before = entry.hash
    return found


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
        )
        same = [old for old in log if (old.model, old.environment) == (model, environment)][-1:]
        if once and same and same[0].occasion == new.occasion:
            return same[0]
        if lake.put_if_absent(f"audit/{new.number:08d}.json", new.to_bytes()):
            return new
    raise Conflict("the audit log: 50 other writers came first; try again")

"""What the audit log tells of a rollback: what a repeated try need not tell again, and whether a command is the same rollback; pure."""

from collections.abc import Sequence

from headgate.release.audit import AuditEntry

MOVES = ("promote", "roll_back_started", "roll_back")


def told_already(log: Sequence[AuditEntry], action: str, *, model: str, environment: str, release: str, who: str, reason: str) -> bool:
    """Whether the rollback under way was told of so before; each new proof and each new failure is told again."""
    if action not in MOVES:
        return False
    for entry in reversed(_of(log, model, environment)):
        if not entry.action.startswith("roll_back") or (entry.release, entry.who) != (release, who):
            return False
        if (entry.action, entry.reason) == (action, reason):
            return True
    return False


def same_rollback(log: Sequence[AuditEntry], model: str, environment: str, who: str, reason: str) -> str | None:
    """The release that this person went back to for this reason, if nothing moved since: the same command means the same one."""
    moves = [entry for entry in _of(log, model, environment) if entry.action in MOVES]
    if not moves or moves[-1].action == "promote" or (moves[-1].who, moves[-1].reason) != (who, reason):
        return None
    return moves[-1].release


def proof_of(log: Sequence[AuditEntry], model: str, environment: str, release: str) -> AuditEntry | None:
    """The entry that says that the release was put back there and verified; None if something else was told since."""
    last = _of(log, model, environment)[-1:]
    return last[0] if last and (last[0].action, last[0].release) == ("roll_back_verified", release) else None


def _of(log: Sequence[AuditEntry], model: str, environment: str) -> list[AuditEntry]:
    return [entry for entry in log if (entry.model, entry.environment) == (model, environment)]

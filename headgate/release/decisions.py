"""The history of decisions: where people and the gates agreed, and whether the gates may answer for themselves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from headgate.lake import Lake
from headgate.record import Record
from headgate.release.approval import Decision, decision_of
from headgate.release.audit import AuditEntry, entries
from headgate.release.record import Release, load_release, release_ids
from headgate.release.rollout import steps
from headgate.settings import AutoAfter

AUTOMATION = "automation:auto_after"


class PastDecision(Record):
    """What became of one release whose gates passed."""

    release: str
    model: str
    decided_at: datetime
    decision: Literal["approve", "reject"]
    approver: str
    reason: str
    rolled_back: bool

    @property
    def by_person(self) -> bool:
        """Whether a person decided; a machine's answer says nothing about agreement."""
        return not self.approver.startswith("automation:")

    @property
    def agreed(self) -> bool:
        """Whether the gates were right to pass it: a person approved, and it was not rolled back afterwards."""
        return self.decision == "approve" and not self.rolled_back


class Agreement(Record):
    """How often people and the gates agreed. `in_a_row` counts the newest decisions up to the first disagreement."""

    agreements: int
    disagreements: int
    in_a_row: int
    by_automation: int
    automation_rolled_back: int


def history(lake: Lake, model: str) -> tuple[PastDecision, ...]:
    """Every decided release of a model whose gates passed, oldest decision first."""
    undone = undone_releases(entries(lake))
    releases = (load_release(lake, name) for name in release_ids(lake))
    decided = ((one, decision_of(lake, one.id)) for one in releases if one.model == model and one.verdict == "passed")
    return tuple(sorted((_past(lake, *pair, undone) for pair in decided if pair[1]), key=lambda past: (past.decided_at, past.release)))


def _past(lake: Lake, release: Release, decision: Decision | None, undone: set[str]) -> PastDecision:
    assert decision is not None
    rolled_back = release.id in undone or any(step.action.kind == "roll_back" for step in steps(lake, release.id))
    return PastDecision(
        release=release.id,
        model=release.model,
        decided_at=decision.decided_at,
        decision=decision.decision,
        approver=decision.approver,
        reason=decision.reason,
        rolled_back=rolled_back,
    )


def undone_releases(log: Sequence[AuditEntry]) -> set[str]:
    """Releases that were rolled back, by a person or by the rollout, and did not come back since.

    An entry names the release that was put back, or, where a rollout failed before its release was champion, that release.
    """
    lives: dict[tuple[str, str | None], list[str]] = {}
    undone: set[str] = set()
    for entry in log:
        live = lives.setdefault((entry.model, entry.environment), [])
        if entry.action == "promote":
            live.append(entry.release)
        elif entry.action == "roll_back" and entry.release not in live:
            undone.add(entry.release)
        elif entry.action == "roll_back" and live[-1] != entry.release:
            undone = (undone | {live[-1]}) - {entry.release}
            live.append(entry.release)
    return undone


def agreement(past: Sequence[PastDecision]) -> Agreement:
    """The whole history in five numbers."""
    people, machine = [one for one in past if one.by_person], [one for one in past if not one.by_person]
    in_a_row = next((i for i, one in enumerate(reversed(people)) if not one.agreed), len(people))
    return Agreement(
        agreements=sum(one.agreed for one in people),
        disagreements=sum(not one.agreed for one in people),
        in_a_row=in_a_row,
        by_automation=len(machine),
        automation_rolled_back=sum(one.rolled_back for one in machine),
    )


def answer_by_history(past: Sequence[PastDecision], policy: AutoAfter) -> str | None:
    """Why the gate may approve by itself, or None where a person must.

    The newest decisions by people are counted back until so many agreed; too many disagreements among them, or an own answer that
    was rolled back since the oldest of them, and a person is asked.
    """
    agreed = disagreed = 0
    for one in reversed(past):
        if not one.by_person:
            disagreed += one.rolled_back
            continue
        agreed, disagreed = agreed + one.agreed, disagreed + (not one.agreed)
        if disagreed > policy.disagreements:
            return None
        if agreed == policy.agreements:
            return (
                f"approval.auto_after: people approved {agreed} of the last {agreed + disagreed} releases that passed the gates "
                f"({disagreed} rejected or rolled back, {policy.disagreements} allowed), counted back to {one.decided_at:%Y-%m-%d}"
            )
    return None

"""The pause for a person. Nothing expensive stands before it: on resume the flow starts again from the top."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from headgate.errors import Refused
from headgate.release.approval import Answer, Decision
from headgate.release.record import Release
from headgate.settings import load_settings
from tasks.gate import answer_before_asking, approval_text, judge_answer, keep_decision, recorded_decision


class ReleaseDecision(RunInput):
    """The form in the Prefect UI; `headgate approve` and `headgate reject` send the same fields."""

    decision: Literal["approve", "reject"] = Field(description="approve: roll out; reject: keep the champion")
    approver: str = Field(min_length=1, description="who decides, for example you@example.com")
    reason: str = Field(min_length=1, description="why; kept in the release record and the audit log")


def await_decision(release: Release) -> Decision:
    """The decision about a release, suspending the run until a valid answer comes; Refused when none can come any more."""
    if kept := recorded_decision(release):
        return kept
    if own := answer_before_asking(release):
        return keep_decision(release, own)
    refusals: list[str] = []
    for attempt in count():
        answer = _ask(release, attempt, refusals)
        refusals = judge_answer(release, answer, _age())
        if not refusals:
            return keep_decision(release, answer)
        get_run_logger().warning("answer refused: %s", "; ".join(refusals))
        if any(fault.startswith(("stale", "expired")) for fault in refusals):
            raise Refused(f"release {release.id[:12]} cannot be approved any more: {'; '.join(refusals)}")
    raise AssertionError("unreachable")


def _ask(release: Release, attempt: int, refusals: list[str]) -> Answer:
    """One form. Its key is new for each attempt, since a used key replays the old answer."""
    policy = load_settings().model(release.model).approval
    form = ReleaseDecision.with_initial_data(description=approval_text(release, refusals))
    filled = suspend_flow_run(wait_for_input=form, timeout=round(policy.timeout_days * 86400), key=f"approve-{attempt}")
    return Answer(decision=filled.decision, approver=filled.approver, reason=filled.reason)


def _age() -> timedelta:
    """How long ago the run was first meant to start, which is when the question was asked."""
    asked = flow_run.scheduled_start_time
    return datetime.now(UTC) - datetime.fromisoformat(str(asked))

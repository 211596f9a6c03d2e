"""The rollout state machine: pure, and the only decider. It sees the situation and names the next action with its reason.

    deploy -> test -> shift -> wait (bake) -> promote -> finish
                 \\_________ roll_back _______/

Everything it needs after a kill is in the target's real state and in the recorded steps, so it starts again anywhere.
"""

from datetime import datetime, timedelta
from typing import Literal

from headgate.lake import Lake
from headgate.record import Record
from headgate.release.record import folder
from headgate.settings import Stage

Kind = Literal["deploy", "test", "shift", "wait", "promote", "finish", "roll_back"]


class Situation(Record):
    """What is true now of one endpoint, for one release.

    `requests` and `errors` are those that the challenger answered since the canary began.
    """

    release: str
    champion: str | None
    challenger: str | None
    challenger_percent: int
    faults: tuple[str, ...] | None = None  # of the endpoint test; None: not tested yet
    canary_since: datetime | None = None
    requests: int = 0
    errors: int = 0
    condemned: str | None = None  # why an earlier look decided to roll back


class Action(Record):
    """What to do next, and why."""

    kind: Kind
    reason: str
    percent: int = 0
    wait_s: float = 0.0


def next_action(stage: Stage, now: Situation, clock: datetime) -> Action:
    """The next action of a stage."""
    if now.condemned is not None:
        return Action(kind="roll_back", reason=now.condemned)
    if now.release not in (now.champion, now.challenger):
        return Action(kind="deploy", reason="the release does not run here yet")
    if now.faults is None:
        return Action(kind="test", reason="the endpoint test has not been run")
    if now.faults:
        return Action(kind="roll_back", reason=f"the endpoint test found {len(now.faults)} fault(s): {now.faults[0]}")
    if now.champion == now.release:
        return Action(kind="finish", reason="the release is champion and passed its endpoint test")
    if now.canary_since is None or now.challenger_percent != stage.canary_size_percent:
        return Action(kind="shift", reason="the endpoint test passed", percent=stage.canary_size_percent)
    return _bake(stage, now, clock - now.canary_since)


def _bake(stage: Stage, now: Situation, elapsed: timedelta) -> Action:
    """What the canary's answers say so far."""
    rate = now.errors / now.requests if now.requests else 0.0
    if now.requests >= stage.min_requests and rate > stage.max_error_rate:
        return Action(
            kind="roll_back", reason=f"failed: {now.errors} of {now.requests} requests failed, allowed {stage.max_error_rate:.2%}"
        )
    left = stage.bake_time_s - elapsed.total_seconds()
    if left > 0:
        return Action(kind="wait", reason=f"baking: {now.requests} requests, {now.errors} errors", wait_s=min(left, 1.0))
    if now.requests < stage.min_requests:
        return Action(kind="roll_back", reason=f"inconclusive: {now.requests} requests in the bake time, needed {stage.min_requests}")
    return Action(kind="promote", reason=f"bake time over: {now.requests} requests, {now.errors} errors")


class Step(Record):
    """One line of a rollout's history: the intent is written before the act, the outcome after."""

    number: int
    environment: str
    action: Action
    phase: Literal["intent", "outcome"]
    at: datetime
    detail: tuple[str, ...] = ()


def steps(lake: Lake, release: str) -> list[Step]:
    """What was done for a release so far, in order."""
    return [Step.model_validate_json(lake.read(key)) for key in lake.keys(f"{folder(release)}/rollout")]


def write_step(lake: Lake, release: str, step: Step) -> None:
    """Write the next step; a step that is already there stays."""
    lake.put_if_absent(f"{folder(release)}/rollout/{step.number:04d}.json", step.to_bytes())

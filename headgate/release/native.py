"""The rollout's decisions where the target shifts traffic by itself (SageMaker): pure, with the same findings and limits as `rollout`.

    deploy -> submit -> wait (watch both fleets while the target shifts) -> test -> finish
                \\__________________ roll_back ______________________/

The target holds each share for the time that the plan names, and goes back by itself on its alarms. Everything else is decided here:
a finding that failed, or too little evidence when the last share below 100% is nearly over, takes the release back at once.
"""

from collections.abc import Sequence
from datetime import datetime
from math import isfinite

from headgate.release.canary import quantile_ms, tally
from headgate.release.observation import Observation
from headgate.release.plan import Plan, Progress
from headgate.release.rollout import Action, Situation, failed_look, go_back, open_points, passed_text, until_next_look
from headgate.settings import Stage

STOP_BEFORE_S = 15.0  # so long before the place goes on, what is not decided counts as inconclusive


def plan_of(stage: Stage, release: str, seen: Sequence[Observation]) -> Plan:
    """The stage's policy as a plan; `seen` is what the champion answered lately, from which its latency is known.

    A canary is held for the interval and the bake time, as in a stepwise rollout; otherwise the bake time follows the last step.
    """
    routing, limits = stage.traffic_routing, stage.auto_rollback
    canary = routing.type == "CANARY"
    champion = next((one for one in seen if one.cohort == "champion"), None)
    p99 = quantile_ms(tally(champion, sorted(champion.labels)).latency_ms, 0.99) if champion else None
    return Plan(
        release=release,
        type=routing.type,
        size_percent=routing.canary_size_percent if canary else routing.linear_step_size_percent,
        wait_interval_s=routing.wait_interval_s + (stage.bake_time_s if canary else 0),
        bake_time_s=0 if canary else stage.bake_time_s,
        max_error_rate=limits.max_error_rate,
        max_p99_ms=p99 * limits.max_p99_ratio if p99 and isfinite(p99) else None,
    )


def next_native_action(stage: Stage, now: Situation, clock: datetime) -> Action:
    """The next action of a stage whose target shifts traffic by itself."""
    progress = now.progress or Progress()
    if now.condemned is not None:
        return now.condemned
    if now.refused is not None:
        return go_back("failed", f"the target refused: {now.refused}")
    if now.faults:
        return go_back("failed", f"the endpoint test found {len(now.faults)} fault(s): {now.faults[0]}")
    if progress.state == "failed":
        return go_back("failed", f"the endpoint failed: {progress.reason}")
    if now.release not in (now.champion, now.challenger):
        if now.faults is not None or now.shifting_to is not None:
            return go_back("inconclusive", "it was taken off the endpoint meanwhile, by a rollback or another deployment")
        return Action(kind="deploy", reason="the release does not run here yet")
    if now.champion == now.release:
        return _arrived(stage, now)
    if now.shifting_to is None:
        return Action(kind="submit", reason="the release stands by", percent=100)
    return _under_way(stage, now, progress, clock)


def _arrived(stage: Stage, now: Situation) -> Action:
    """It has all traffic: by its plan, which is judged once more, or because it is the endpoint's first release."""
    if now.faults is not None:
        return Action(kind="finish", reason="the release is champion and passed its endpoint test")
    by_plan = now.shifting_to is not None
    if by_plan and (failed := now.analysis.of("failed")):
        return go_back("failed", "; ".join(map(str, failed)))
    if by_plan and (points := _open(stage, now)):
        return go_back("inconclusive", "; ".join(points))
    told = f"passed: {passed_text(now)}" if by_plan else "the endpoint's first release"
    return Action(kind="test", reason=f"{told}; the endpoint test has not been run")


def _under_way(stage: Stage, now: Situation, progress: Progress, clock: datetime) -> Action:
    if progress.state == "rolled_back":
        return go_back("failed", f"the target went back by itself: {progress.reason}")
    if progress.state == "going_back":
        return Action(kind="wait", reason=f"the target goes back by itself: {progress.reason}", wait_s=until_next_look(0))
    if progress.state == "idle" and now.shifted_at is None:
        return Action(kind="submit", reason="the plan was not submitted yet", percent=100)
    if progress.state == "idle":
        return go_back(
            "failed", f"the target no longer shifts traffic, and the release did not arrive: {progress.reason or 'no reason told'}"
        )
    return _watch(stage, now, progress, clock)


def _watch(stage: Stage, now: Situation, progress: Progress, clock: datetime) -> Action:
    """What the answers say while the target shifts."""
    seen, elapsed_s = now.analysis, (clock - (now.shifted_at or clock)).total_seconds()
    if seen.requests >= stage.auto_rollback.min_requests and (failed := seen.of("failed")):
        return failed_look(stage, now, "; ".join(map(str, failed)))
    left_s = _left_s(stage, progress, clock)
    if left_s is not None and left_s <= _margin_s(stage) and (points := _open(stage, now)):
        return go_back("inconclusive", "; ".join(points))
    told = f"the target shifts, now {progress.percent}%: {seen}"
    return Action(kind="wait", reason=told, percent=progress.percent, wait_s=until_next_look(elapsed_s))


def _left_s(stage: Stage, progress: Progress, clock: datetime) -> float | None:
    """Until the target leaves the last share at which it can be judged; None before that share, or while it is being set."""
    routing = stage.traffic_routing
    if progress.percent == 100 and routing.type != "ALL_AT_ONCE":
        return 0.0
    step = routing.linear_step_size_percent or 100
    if not progress.percent or progress.since is None or (routing.type == "LINEAR" and progress.percent + step < 100):
        return None
    return _held_s(stage) - (clock - progress.since).total_seconds()


def _held_s(stage: Stage) -> float:
    """How long that share is held."""
    return stage.traffic_routing.wait_interval_s + (0 if stage.traffic_routing.type == "LINEAR" else stage.bake_time_s)


def _margin_s(stage: Stage) -> float:
    return min(STOP_BEFORE_S, _held_s(stage) / 4)


def _open(stage: Stage, now: Situation) -> list[str]:
    """Why it cannot pass yet; with ALL_AT_ONCE nobody answers beside it."""
    alone = stage.traffic_routing.type == "ALL_AT_ONCE"
    return open_points(stage, now.model_copy(update={"challenger_percent": 100 if alone else 50}))

"""What the machine decides where the target shifts traffic by itself: pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate.release.native import next_native_action, plan_of
from headgate.release.observation import Observation
from headgate.release.plan import Plan, Progress
from headgate.release.rollout import Action, Analysis, Finding, Situation
from headgate.settings import AutoRollback, Stage, TrafficRouting

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CANARY = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=25, wait_interval_s=20),
    bake_time_s=100,
    auto_rollback=AutoRollback(min_requests=20, max_duration_s=300),
)
LINEAR = CANARY.model_copy(update={"traffic_routing": TrafficRouting(type="LINEAR", linear_step_size_percent=25, wait_interval_s=40)})
ALL = CANARY.model_copy(update={"traffic_routing": TrafficRouting(type="ALL_AT_ONCE")})
FRESH = Situation(release="new", champion="old", challenger=None, challenger_percent=0, progress=Progress())
STANDS_BY = FRESH.model_copy(update={"challenger": "new"})
SHIFTING = STANDS_BY.model_copy(update={"shifting_to": 100, "shifted_at": NOW, "progress": Progress(state="shifting")})
ARRIVED = SHIFTING.model_copy(update={"champion": "new", "challenger": None, "progress": Progress(state="done", percent=100)})
BAD = Finding(metric="error_rate", challenger=0.2, champion=None, limit=0.01, unit="share", evidence=1e6, needed=700, verdict="failed")
ENOUGH = Analysis(requests=100, champion_requests=300)


def after(seconds: float, situation: Situation = SHIFTING, stage: Stage = CANARY, **change: Any) -> Action:
    return next_native_action(stage, situation.model_copy(update=change), NOW + timedelta(seconds=seconds))


def at(percent: int, since_s: float | None = 0) -> Progress:
    return Progress(state="shifting", percent=percent, since=None if since_s is None else NOW + timedelta(seconds=since_s))


def test_the_steps_up_to_the_submitted_plan() -> None:
    assert after(0, FRESH) == Action(kind="deploy", reason="the release does not run here yet")
    assert after(0, STANDS_BY) == Action(kind="submit", reason="the release stands by", percent=100)
    told = "the target shifts, now 0%: 0 requests, 0 errors; champion 0 requests"
    assert after(1) == Action(kind="wait", reason=told, wait_s=1)


def test_a_submission_that_was_killed_is_made_again() -> None:
    assert after(1, shifted_at=None, progress=Progress()).kind == "submit"


def test_a_plan_that_is_lost_goes_back() -> None:
    reason = "failed: the target no longer shifts traffic, and the release did not arrive: no reason told"
    assert after(1, progress=Progress()) == Action(kind="roll_back", reason=reason, verdict="failed")


def test_what_the_target_took_back_by_itself_is_told_with_its_reason() -> None:
    action = after(1, progress=Progress(state="rolled_back", reason="alarm x"))
    assert action == Action(kind="roll_back", reason="failed: the target went back by itself: alarm x", verdict="failed")
    assert after(1, progress=Progress(state="going_back", reason="alarm x")).kind == "wait"
    broken = after(1, progress=Progress(state="failed", reason="Failed: no capacity"))
    assert broken.reason == "failed: the endpoint failed: Failed: no capacity"


def test_a_finding_that_failed_stops_the_plan() -> None:
    seen = ENOUGH.model_copy(update={"findings": (BAD,)})
    assert (after(1, progress=at(25), analysis=seen).kind, after(1, progress=at(25), analysis=seen).verdict) == ("roll_back", "failed")
    few = seen.model_copy(update={"requests": 19})
    assert after(1, progress=at(25), analysis=few).kind == "wait"


def test_a_failed_look_within_the_limit_is_let_pass() -> None:
    patient = CANARY.model_copy(update={"auto_rollback": CANARY.auto_rollback.model_copy(update={"failure_limit": 1})})
    seen = ENOUGH.model_copy(update={"findings": (BAD,)})
    assert after(1, stage=patient, progress=at(25), analysis=seen).kind == "warn"
    assert after(1, stage=patient, progress=at(25), analysis=seen, warned=1).kind == "roll_back"


def test_too_little_evidence_goes_back_shortly_before_the_target_goes_on() -> None:
    few = Analysis(requests=5, champion_requests=300)
    assert after(104, progress=at(25), analysis=few).kind == "wait"
    ends = after(106, progress=at(25), analysis=few)
    assert ends == Action(kind="roll_back", reason="inconclusive: 5 requests, needed 20", verdict="inconclusive")
    assert after(106, progress=at(25), analysis=ENOUGH).kind == "wait"
    assert after(106, progress=at(25, None), analysis=few).kind == "wait"


def test_a_linear_plan_is_judged_at_its_last_step_below_all() -> None:
    few = Analysis(requests=5, champion_requests=300)
    assert after(39, stage=LINEAR, progress=at(50), analysis=few).kind == "wait"
    assert after(39, stage=LINEAR, progress=at(75), analysis=few).verdict == "inconclusive"
    assert after(1, stage=LINEAR, progress=at(100), analysis=few).verdict == "inconclusive"


def test_all_at_once_is_judged_at_the_end_of_its_bake_time_without_a_champion_beside_it() -> None:
    alone, few = Analysis(requests=100), Analysis(requests=5)
    assert after(50, stage=ALL, progress=at(100), analysis=few).kind == "wait"
    assert after(90, stage=ALL, progress=at(100), analysis=few).verdict == "inconclusive"
    assert after(90, stage=ALL, progress=at(100), analysis=alone).kind == "wait"


def test_a_release_that_arrived_is_judged_tested_and_finished() -> None:
    assert after(200, ARRIVED, analysis=ENOUGH).kind == "test"
    assert after(200, ARRIVED, analysis=ENOUGH, faults=()).kind == "finish"
    assert after(200, ARRIVED, analysis=ENOUGH, faults=("wrong",)).verdict == "failed"
    assert after(200, ARRIVED, analysis=Analysis(requests=5)).verdict == "inconclusive"
    assert after(200, ARRIVED, analysis=ENOUGH.model_copy(update={"findings": (BAD,)})).verdict == "failed"


def test_the_first_release_of_an_endpoint_is_tested_and_finished() -> None:
    first = FRESH.model_copy(update={"champion": "new", "progress": Progress(state="done", percent=100)})
    assert after(0, first) == Action(kind="test", reason="the endpoint's first release; the endpoint test has not been run")
    assert after(0, first, faults=()).kind == "finish"


def test_a_release_that_somebody_took_off_does_not_come_again() -> None:
    action = after(0, FRESH, shifting_to=100)
    assert (action.kind, action.verdict) == ("roll_back", "inconclusive")
    assert after(0, FRESH, refused="no quota").reason == "failed: the target refused: no quota"
    decided = Action(kind="roll_back", reason="failed: x", verdict="failed")
    assert after(0, FRESH, condemned=decided) == decided


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (CANARY, {"type": "CANARY", "size_percent": 25, "wait_interval_s": 120, "bake_time_s": 0}),
        (LINEAR, {"type": "LINEAR", "size_percent": 25, "wait_interval_s": 40, "bake_time_s": 100}),
        (ALL, {"type": "ALL_AT_ONCE", "size_percent": None, "wait_interval_s": 0, "bake_time_s": 100}),
    ],
)
def test_a_policy_becomes_a_plan(stage: Stage, expected: dict[str, Any]) -> None:
    assert plan_of(stage, "new", ()) == Plan(release="new", max_error_rate=0.01, max_p99_ms=None, **expected)


def test_the_limit_of_the_latency_is_the_champions_own() -> None:
    seen = [Observation(cohort="champion", window_s=60, requests=100, latency_ms={"10": 98, "100": 2})]
    assert plan_of(CANARY, "new", seen).max_p99_ms == pytest.approx(150)
    slow = [Observation(cohort="champion", window_s=60, requests=100, latency_ms={"inf": 100})]
    assert plan_of(CANARY, "new", slow).max_p99_ms is None

"""The rollout's machine while it holds a split: what follows when, how it reads, and that it always ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.release.rollout import Action, Analysis, Concluded, Finding, Situation, Step, next_action
from headgate.release.rollout_text import headline, markdown, text_lines
from headgate.settings import ABTest, AutoRollback, Stage, TrafficRouting

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
STAGE = Stage(
    environment="production",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=20),
    bake_time_s=10,
    auto_rollback=AutoRollback(min_requests=20, max_duration_s=30),
    ab_test=ABTest(challenger_percent=50, hold_s=100),
)
GOOD = Analysis(requests=200, errors=0, champion_requests=800)
CANARY = Situation(
    release="new", champion="old", challenger="new", challenger_percent=20, faults=(), shifting_to=20, shifted_at=NOW, analysis=GOOD
)
HELD = CANARY.model_copy(update={"challenger_percent": 50, "shifting_to": 50, "holding": True})
INFORMS = Concluded(verdict="informs", told="0 of 6 metrics differ", page="releases/new/evidence/ab-test-production/1/index.html")
HARM = Finding(metric="error_rate", challenger=0.2, champion=None, limit=0.01, unit="share", evidence=9e9, needed=800, verdict="failed")
DOUBT = HARM.model_copy(update={"verdict": "in doubt", "evidence": 5})


def after(seconds: float, now: Situation = HELD, stage: Stage = STAGE, **change: Any) -> Action:
    return next_action(stage, now.model_copy(update=change), NOW + timedelta(seconds=seconds))


def test_a_split_is_held_once_the_canary_has_passed() -> None:
    reason = "20% passed: 200 requests, 0 errors; champion 800 requests; the A/B test holds for 100 s"
    assert after(10, CANARY) == Action(kind="hold", reason=reason, percent=50)
    assert after(9, CANARY).kind == "wait"


def test_a_canary_at_the_same_share_is_held_all_the_same() -> None:
    stage = STAGE.model_copy(update={"traffic_routing": TrafficRouting(type="CANARY", canary_size_percent=50)})
    canary = {"challenger_percent": 50, "shifting_to": 50}
    assert after(10, CANARY, stage, **canary).kind == "hold"
    assert after(10, HELD, stage).kind == "wait"


def test_the_time_is_waited_out_and_reported_then() -> None:
    told = "A/B test at 50%: 200 requests, 0 errors; champion 800 requests"
    assert after(99.5) == Action(kind="wait", reason=told, wait_s=0.5)
    reason = "the A/B test's 100 s are over: 200 requests, 0 errors; champion 800 requests"
    assert after(100) == Action(kind="report", reason=reason, percent=50)


def test_numbers_that_inform_lead_to_promotion() -> None:
    reason = "passed: 200 requests, 0 errors; champion 800 requests; A/B test: 0 of 6 metrics differ"
    assert after(101, concluded=INFORMS) == Action(kind="promote", reason=reason)


@pytest.mark.parametrize("verdict", ["failed", "inconclusive"])
def test_a_test_that_decides_against_it_returns_all_weight(verdict: Any) -> None:
    ended = Concluded(verdict=verdict, told="right_share 70% beside 80%")
    assert after(101, concluded=ended) == Action(
        kind="roll_back", reason=f"{verdict}: A/B test: right_share 70% beside 80%", verdict=verdict
    )


def test_the_limits_go_on_being_watched_and_end_it_at_once() -> None:
    action = after(5, analysis=GOOD.model_copy(update={"findings": (HARM,)}))
    assert (action.kind, action.verdict) == ("roll_back", "failed")


def test_what_is_in_doubt_at_the_end_is_watched_until_its_deadline() -> None:
    doubt = {"analysis": GOOD.model_copy(update={"findings": (DOUBT,)}), "concluded": INFORMS}
    assert after(100, analysis=doubt["analysis"]).kind == "report"
    waits = after(129, **doubt)
    assert (waits.kind, waits.wait_s) == ("wait", 1)
    assert after(130, **doubt).verdict == "inconclusive"


def test_a_hold_that_was_killed_or_whose_split_somebody_moved_is_set_again() -> None:
    assert after(5, shifted_at=None, challenger_percent=20) == Action(
        kind="hold", reason="the challenger's share is 20%, meant to be 50%", percent=50
    )
    assert after(5, challenger_percent=60).kind == "hold"


def test_a_hold_that_the_policy_no_longer_has_begins_again_with_the_canary() -> None:
    action = after(5, stage=STAGE.model_copy(update={"ab_test": None}))
    assert (action.kind, action.percent) == ("shift", 20)


def test_metrics_without_data_hold_nothing_up() -> None:
    silent = HARM.model_copy(update={"metric": "correction_rate", "verdict": "no data", "evidence": 1.0})
    assert after(10, CANARY, analysis=GOOD.model_copy(update={"findings": (silent,)})).kind == "hold"
    assert after(101, concluded=INFORMS, analysis=GOOD.model_copy(update={"findings": (silent,)})).kind == "promote"


def test_a_hold_reads_with_the_time_left_and_that_its_numbers_are_looked_at_once() -> None:
    clock = NOW + timedelta(seconds=40)
    head = "release new in production: A/B test; challenger 50%, champion 50%; 60 s left of 100 s, at most 90 s"
    assert headline(STAGE, HELD, after(40), clock) == head
    assert text_lines(STAGE, HELD, after(40), clock)[2] == (
        "A/B test: its statistics are looked at once, after 100 s; below are the limits that can end it before"
    )


def test_its_end_is_shown_with_its_page() -> None:
    ended = HELD.model_copy(update={"concluded": INFORMS})
    clock = NOW + timedelta(seconds=101)
    told = f"A/B test: 0 of 6 metrics differ; page {INFORMS.page}"
    assert text_lines(STAGE, ended, after(101, ended), clock)[2] == told
    page = markdown(STAGE, ended, after(101, ended), clock, "http://127.0.0.1:4300")
    assert f"[Open the A/B test's page](http://127.0.0.1:4300/{INFORMS.page})" in page


def test_steps_of_an_older_version_can_be_read() -> None:
    old = {
        "number": 0,
        "environment": "production",
        "action": {"kind": "shift", "reason": "", "percent": 20, "wait_s": 0.0, "verdict": None},
        "phase": "outcome",
        "at": NOW.isoformat(),
        "detail": [],
        "analysis": {"requests": 1, "errors": 0, "champion_requests": 2, "findings": []},
    }
    assert Step.model_validate(old).concluded is None


ANALYSES = st.builds(
    Analysis,
    requests=st.integers(0, 60),
    champion_requests=st.integers(0, 60),
    findings=st.lists(st.sampled_from([HARM, DOUBT]), max_size=1).map(tuple),
)


@given(
    routing=st.sampled_from(
        [
            TrafficRouting(type="CANARY", canary_size_percent=20),
            TrafficRouting(type="CANARY", canary_size_percent=50),
            TrafficRouting(type="LINEAR", linear_step_size_percent=25, wait_interval_s=5),
        ]
    ),
    percent=st.integers(75, 99),
    failure_limit=st.integers(0, 3),
    seen=st.lists(ANALYSES, min_size=1, max_size=8),
    ended=st.sampled_from(["passed", "failed", "inconclusive", "informs"]),
    drifts=st.lists(st.integers(0, 400), max_size=3),
    late=st.floats(0, 20),
)
def test_the_machine_always_ends_whatever_it_sees(
    routing: TrafficRouting, percent: int, failure_limit: int, seen: list[Analysis], ended: Any, drifts: list[int], late: float
) -> None:
    """A world that does what it is told, moves the split by itself a few times, and shows anything at all."""
    policy = STAGE.auto_rollback.model_copy(update={"failure_limit": failure_limit})
    test = ABTest(challenger_percent=percent, hold_s=100)
    stage = STAGE.model_copy(update={"traffic_routing": routing, "auto_rollback": policy, "ab_test": test})
    now, clock, kinds = Situation(release="new", champion="old", challenger=None, challenger_percent=0), NOW, []
    for turn in range(1000):
        if turn in drifts:
            now = now.model_copy(update={"challenger_percent": 3})
        action = next_action(stage, now.model_copy(update={"analysis": seen[turn % len(seen)]}), clock)
        kinds.append(action.kind)
        if action.kind in ("finish", "roll_back"):
            break
        clock += timedelta(seconds=action.wait_s + (late if action.wait_s else 0.1))
        now = now.model_copy(update=effect(action, now, clock, ended))
    assert kinds[-1] in ("finish", "roll_back")
    if kinds[-1] == "finish":
        assert kinds.index("hold") < kinds.index("report") < kinds.index("promote")
        assert ended in ("passed", "informs")


def effect(action: Action, now: Situation, clock: datetime, ended: Any) -> dict[str, Any]:
    if action.kind in ("shift", "hold"):
        moved = {"challenger_percent": action.percent, "shifting_to": action.percent, "shifted_at": clock}
        return {**moved, "holding": action.kind == "hold", "concluded": None, "warned": 0}
    return {
        "deploy": {"challenger": "new"},
        "test": {"faults": ()},
        "report": {"concluded": Concluded(verdict=ended, told="")},
        "warn": {"warned": now.warned + 1},
        "promote": {"champion": "new", "challenger": None, "challenger_percent": 0},
    }.get(action.kind, {})

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headgate.lake import FolderLake
from headgate.release.rollout import Action, Analysis, Finding, Situation, Step, next_action, steps, write_step
from headgate.release.rollout_text import headline, markdown, text_lines
from headgate.settings import AutoRollback, Stage, TrafficRouting

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
POLICY = AutoRollback(min_requests=20, max_duration_s=30)
ROUTING = TrafficRouting(type="CANARY", canary_size_percent=20)
STAGE = Stage(environment="production", traffic_routing=ROUTING, bake_time_s=10, auto_rollback=POLICY)
LINEAR = STAGE.model_copy(update={"traffic_routing": TrafficRouting(type="LINEAR", linear_step_size_percent=40, wait_interval_s=5)})
FRESH = Situation(release="new", champion="old", challenger=None, challenger_percent=0)
DEPLOYED = FRESH.model_copy(update={"challenger": "new"})
TESTED = DEPLOYED.model_copy(update={"faults": ()})
CANARY = TESTED.model_copy(update={"challenger_percent": 20, "shifting_to": 20, "shifted_at": NOW})
ERRORS = Finding(
    metric="error_rate_increase", challenger=0.021, champion=0.001, limit=0.005, unit="more", evidence=1234.5, needed=700, verdict="failed"
)
TOLD = "error_rate_increase 2.10% beside the champion's 0.10%, allowed 0.5 points more; evidence 1.23e+03 to 1, needed 700"


def seen(requests: int, errors: int = 0, champion: int | None = None, *findings: Finding) -> dict[str, Any]:
    found = Analysis(requests=requests, errors=errors, champion_requests=4 * requests if champion is None else champion, findings=findings)
    return {"analysis": found}


def after(seconds: float, situation: Situation = CANARY, stage: Stage = STAGE, **change: Any) -> Action:
    return next_action(stage, situation.model_copy(update=change), NOW + timedelta(seconds=seconds))


def test_a_release_that_does_not_run_yet_is_deployed():
    assert next_action(STAGE, FRESH, NOW) == Action(kind="deploy", reason="the release does not run here yet")


def test_a_deployed_release_is_tested_before_it_gets_traffic():
    assert next_action(STAGE, DEPLOYED, NOW) == Action(kind="test", reason="the endpoint test has not been run")


def test_a_fault_in_the_endpoint_test_rolls_back():
    action = next_action(STAGE, DEPLOYED.model_copy(update={"faults": ("example 2: expected other, found positive",)}), NOW)
    reason = "failed: the endpoint test found 1 fault(s): example 2: expected other, found positive"
    assert action == Action(kind="roll_back", reason=reason, verdict="failed")


def test_what_the_target_refuses_rolls_back():
    action = next_action(STAGE, FRESH.model_copy(update={"refused": "it ended with exit status 7"}), NOW)
    assert action == Action(kind="roll_back", reason="failed: the target refused: it ended with exit status 7", verdict="failed")


def test_a_tested_challenger_gets_the_canary_share():
    assert next_action(STAGE, TESTED, NOW) == Action(kind="shift", reason="the endpoint test passed", percent=20)


def test_a_split_that_somebody_moved_is_put_right():
    action = after(1, challenger_percent=50)
    assert action == Action(kind="shift", reason="the challenger's share is 50%, meant to be 20%", percent=20)


def test_a_shift_that_was_killed_is_done_again():
    assert after(1, shifted_at=None).kind == "shift"
    action = after(1, stage=LINEAR, challenger_percent=40, shifting_to=80, shifted_at=None)
    assert action == Action(kind="shift", reason="the challenger's share is 40%, meant to be 80%", percent=80)


def test_a_share_that_the_policy_no_longer_has_begins_again():
    assert after(1, stage=LINEAR).percent == 40


def test_the_first_release_needs_no_canary_but_its_endpoint_test():
    first = Situation(release="new", champion="new", challenger=None, challenger_percent=0)
    assert next_action(STAGE, first, NOW).kind == "test"
    assert next_action(STAGE, first.model_copy(update={"faults": ()}), NOW).kind == "finish"


def test_the_bake_time_is_waited_out():
    action = after(9.5, **seen(50))
    assert action == Action(kind="wait", reason="baking at 20%: 50 requests, 0 errors; champion 200 requests", wait_s=0.5)


def test_a_canary_that_answered_well_is_promoted_after_the_bake_time():
    assert after(10, **seen(200, 2)) == Action(kind="promote", reason="passed: 200 requests, 2 errors; champion 800 requests")


def test_what_failed_rolls_back_before_the_bake_time_is_over():
    assert after(1, **seen(1000, 21, 4000, ERRORS)) == Action(kind="roll_back", reason=f"failed: {TOLD}", verdict="failed")


def test_before_the_minimum_of_requests_nothing_fails():
    assert after(1, **seen(19, 3, 100, ERRORS)).kind == "wait"


def test_failed_looks_within_the_limit_are_let_pass_and_counted():
    patient = STAGE.model_copy(update={"auto_rollback": POLICY.model_copy(update={"failure_limit": 2})})
    bad = seen(1000, 21, 4000, ERRORS)
    assert after(1, stage=patient, **bad) == Action(kind="warn", reason=f"failed look 1, allowed 2: {TOLD}", wait_s=1)
    assert after(2, stage=patient, warned=1, **bad).kind == "warn"
    assert after(3, stage=patient, warned=2, **bad).kind == "roll_back"


def test_too_few_requests_wait_until_the_deadline_and_are_inconclusive_then():
    waits = after(10, **seen(19, champion=100))
    assert waits == Action(kind="wait", reason="the time is over, but not decided: 19 requests, needed 20", wait_s=1)
    ends = after(30, **seen(19, champion=100))
    assert ends == Action(kind="roll_back", reason="inconclusive: 19 requests, needed 20", verdict="inconclusive")


def test_a_champion_that_answered_too_little_beside_the_canary_is_inconclusive():
    assert after(30, **seen(50, champion=3)).reason == "inconclusive: 3 requests by the champion beside it, needed 20"


def test_a_metric_in_doubt_holds_the_promotion_up():
    doubt = ERRORS.model_copy(update={"verdict": "in doubt", "evidence": 5})
    assert after(9, **seen(100, 2, 400, doubt)).reason.startswith("baking")
    assert after(10, **seen(100, 2, 400, doubt)).kind == "wait"
    ends = after(30, **seen(100, 2, 400, doubt))
    assert (ends.verdict, ends.reason.startswith("inconclusive: in doubt: error_rate_increase")) == ("inconclusive", True)


def test_linear_steps_are_watched_one_after_the_other_and_the_last_one_bakes():
    first = {"challenger_percent": 40, "shifting_to": 40, **seen(100)}
    last = {"challenger_percent": 80, "shifting_to": 80, **seen(100, champion=25)}
    assert after(4.5, stage=LINEAR, **first) == Action(
        kind="wait", reason="watching at 40%: 100 requests, 0 errors; champion 400 requests", wait_s=0.5
    )
    assert after(5, stage=LINEAR, **first) == Action(
        kind="shift", reason="40% passed: 100 requests, 0 errors; champion 400 requests", percent=80
    )
    assert after(5, stage=LINEAR, **last).kind == "wait"
    assert after(15, stage=LINEAR, **last).kind == "promote"


def test_all_at_once_has_nobody_to_compare_with_and_says_so():
    stage = STAGE.model_copy(update={"traffic_routing": TrafficRouting(type="ALL_AT_ONCE")})
    whole = {"challenger_percent": 100, "shifting_to": 100}
    assert next_action(stage, TESTED, NOW).percent == 100
    action = after(10, stage=stage, **whole, **seen(50, champion=0))
    expected = "passed: 50 requests, 0 errors; champion 0 requests; compared with no champion, since none answered beside it"
    assert action == Action(kind="promote", reason=expected)


def test_a_long_watch_is_looked_at_less_often_but_within_ten_seconds():
    stage = STAGE.model_copy(update={"bake_time_s": 5000, "auto_rollback": POLICY.model_copy(update={"max_duration_s": 6000})})
    assert [after(elapsed, stage=stage).wait_s for elapsed in (10, 120, 1000, 4999)] == [1, 2, 5, 1]


def test_a_rollback_that_was_decided_is_finished_whatever_is_true_now():
    decided = Action(kind="roll_back", reason="failed: 5 of 100 requests", verdict="failed")
    assert next_action(STAGE, FRESH.model_copy(update={"condemned": decided}), NOW) == decided


def test_steps_are_kept_in_order_and_never_overwritten(tmp_path):
    lake = FolderLake(tmp_path)
    first = Step(number=0, environment="production", action=Action(kind="deploy", reason="a"), phase="intent", at=NOW)
    write_step(lake, "r1", first)
    write_step(lake, "r1", first.model_copy(update={"phase": "outcome"}))
    write_step(lake, "r1", first.model_copy(update={"number": 1, "phase": "outcome"}))
    assert [(step.number, step.phase) for step in steps(lake, "r1")] == [(0, "intent"), (1, "outcome")]


def test_a_rollout_under_way_reads_as_step_weights_time_left_numbers_and_why():
    now = CANARY.model_copy(update=seen(1000, 21, 4000, ERRORS))
    clock = NOW + timedelta(seconds=4)
    action = next_action(STAGE, now.model_copy(update=seen(1000, 21, 4000)), clock)
    head = "release new in production: watched; challenger 20%, champion 80%; 6 s left of 10 s, at most 26 s"
    assert headline(STAGE, now, action, clock) == head
    assert text_lines(STAGE, now, action, clock) == [
        head,
        "why: baking at 20%: 1000 requests, 21 errors; champion 4000 requests",
        "metric               challenger  champion  allowed          evidence                   verdict",
        "error_rate_increase  2.10%       0.10%     0.5 points more  1.23e+03 to 1, needed 700  failed",
    ]
    page = markdown(STAGE, now, action, clock)
    assert "| error_rate_increase | 2.10% | 0.10% | 0.5 points more | 1.23e+03 to 1, needed 700 | failed |" in page
    assert page.endswith("2026-05-01 12:00:04 UTC")


@pytest.mark.parametrize("situation", [FRESH, DEPLOYED, TESTED])
def test_before_the_canary_there_is_no_time_to_tell(situation):
    assert "left" not in headline(STAGE, situation, next_action(STAGE, situation, NOW), NOW)

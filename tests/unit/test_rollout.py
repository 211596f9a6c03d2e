from datetime import UTC, datetime, timedelta

import pytest

from headgate.lake import FolderLake
from headgate.release.rollout import Action, Situation, Step, next_action, steps, write_step
from headgate.settings import Stage

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
STAGE = Stage(environment="production", canary_size_percent=20, bake_time_s=10, min_requests=20, max_error_rate=0.01)
FRESH = Situation(release="new", champion="old", challenger=None, challenger_percent=0)
DEPLOYED = FRESH.model_copy(update={"challenger": "new"})
TESTED = DEPLOYED.model_copy(update={"faults": ()})
CANARY = TESTED.model_copy(update={"challenger_percent": 20, "canary_since": NOW})


def test_a_release_that_does_not_run_yet_is_deployed():
    assert next_action(STAGE, FRESH, NOW) == Action(kind="deploy", reason="the release does not run here yet")


def test_a_deployed_release_is_tested_before_it_gets_traffic():
    assert next_action(STAGE, DEPLOYED, NOW) == Action(kind="test", reason="the endpoint test has not been run")


def test_a_fault_in_the_endpoint_test_rolls_back():
    action = next_action(STAGE, DEPLOYED.model_copy(update={"faults": ("example 2: expected other, found positive",)}), NOW)
    assert action == Action(kind="roll_back", reason="the endpoint test found 1 fault(s): example 2: expected other, found positive")


def test_a_tested_challenger_gets_the_canary_share():
    assert next_action(STAGE, TESTED, NOW) == Action(kind="shift", reason="the endpoint test passed", percent=20)


def test_a_split_that_somebody_moved_is_put_right():
    assert next_action(STAGE, CANARY.model_copy(update={"challenger_percent": 50}), NOW).kind == "shift"


def test_the_first_release_needs_no_canary_but_its_endpoint_test():
    first = Situation(release="new", champion="new", challenger=None, challenger_percent=0)
    assert next_action(STAGE, first, NOW).kind == "test"
    assert next_action(STAGE, first.model_copy(update={"faults": ()}), NOW).kind == "finish"


def test_the_bake_time_is_waited_out():
    action = next_action(STAGE, CANARY.model_copy(update={"requests": 50}), NOW + timedelta(seconds=9.5))
    assert action == Action(kind="wait", reason="baking: 50 requests, 0 errors", wait_s=0.5)


def test_a_canary_that_answered_well_is_promoted_after_the_bake_time():
    action = next_action(STAGE, CANARY.model_copy(update={"requests": 200, "errors": 2}), NOW + timedelta(seconds=10))
    assert action == Action(kind="promote", reason="bake time over: 200 requests, 2 errors")


def test_errors_above_the_limit_roll_back_before_the_bake_time_is_over():
    action = next_action(STAGE, CANARY.model_copy(update={"requests": 100, "errors": 2}), NOW + timedelta(seconds=1))
    assert action == Action(kind="roll_back", reason="failed: 2 of 100 requests failed, allowed 1.00%")


def test_one_early_error_among_few_requests_decides_nothing():
    assert next_action(STAGE, CANARY.model_copy(update={"requests": 3, "errors": 1}), NOW + timedelta(seconds=1)).kind == "wait"


def test_too_few_requests_are_inconclusive_and_inconclusive_rolls_back():
    action = next_action(STAGE, CANARY.model_copy(update={"requests": 19}), NOW + timedelta(seconds=10))
    assert action == Action(kind="roll_back", reason="inconclusive: 19 requests in the bake time, needed 20")


def test_a_rollback_that_was_decided_is_finished_whatever_is_true_now():
    gone = FRESH.model_copy(update={"condemned": "failed: 5 of 100 requests failed, allowed 1.00%"})
    assert next_action(STAGE, gone, NOW) == Action(kind="roll_back", reason="failed: 5 of 100 requests failed, allowed 1.00%")


@pytest.mark.parametrize("killed_after", range(6))
def test_a_rollout_killed_after_any_step_goes_on_to_the_same_end(killed_after):
    """A model of a target: acting changes the situation, a kill forgets everything but the situation."""
    situation, clock, acted = FRESH, NOW, []
    for step in range(20):
        if step == killed_after:
            situation = Situation.model_validate_json(situation.model_dump_json())
        action = next_action(STAGE, situation, clock)
        acted.append(action.kind)
        if action.kind in ("finish", "roll_back"):
            break
        change, clock = _effect(action, situation, clock)
        situation = situation.model_copy(update=change)
    assert [kind for kind in acted if kind != "wait"] == ["deploy", "test", "shift", "promote", "finish"]


def _effect(action, situation, clock):
    match action.kind:
        case "deploy":
            return {"challenger": "new"}, clock
        case "test":
            return {"faults": ()}, clock
        case "shift":
            return {"challenger_percent": action.percent, "canary_since": clock}, clock
        case "wait":
            return {"requests": situation.requests + 10}, clock + timedelta(seconds=action.wait_s)
        case "promote":
            return {"champion": "new", "challenger": None, "challenger_percent": 0}, clock
    raise AssertionError(action.kind)


def test_steps_are_kept_in_order_and_never_overwritten(tmp_path):
    lake = FolderLake(tmp_path)
    first = Step(number=0, environment="production", action=Action(kind="deploy", reason="a"), phase="intent", at=NOW)
    write_step(lake, "r1", first)
    write_step(lake, "r1", first.model_copy(update={"phase": "outcome"}))
    write_step(lake, "r1", first.model_copy(update={"number": 1, "phase": "outcome"}))
    assert [(step.number, step.phase) for step in steps(lake, "r1")] == [(0, "intent"), (1, "outcome")]

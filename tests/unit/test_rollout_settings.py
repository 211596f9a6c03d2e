"""What a rollout's policy may say."""

import pytest
from pydantic import ValidationError

from headgate.settings import AutoRollback, Rollout, Stage, TrafficRouting


def faults(model: type, **given: object) -> list[str]:
    with pytest.raises(ValidationError) as fault:
        model.model_validate(given)
    return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in fault.value.errors()]


@pytest.mark.parametrize(
    ("routing", "shares"),
    [
        ({"type": "CANARY", "canary_size_percent": 5}, (5,)),
        ({"type": "ALL_AT_ONCE"}, (100,)),
        ({"type": "LINEAR", "linear_step_size_percent": 25}, (25, 50, 75)),
        ({"type": "LINEAR", "linear_step_size_percent": 30}, (30, 60, 90)),
        ({"type": "LINEAR", "linear_step_size_percent": 50}, (50,)),
    ],
)
def test_the_shares_at_which_a_challenger_is_watched_follow_from_the_routing(routing: dict, shares: tuple[int, ...]) -> None:
    assert TrafficRouting.model_validate(routing).shares == shares


def test_a_routing_needs_its_own_share_and_takes_no_other() -> None:
    assert faults(TrafficRouting, type="LINEAR", canary_size_percent=5) == [
        "canary_size_percent: Value error, expected none for type = LINEAR, found 5; set linear_step_size_percent in its place",
        "linear_step_size_percent: Value error, expected a share for type = LINEAR, found none; set linear_step_size_percent",
    ]
    assert faults(TrafficRouting, type="ALL_AT_ONCE", wait_interval_s=5, canary_size_percent=5) == [
        "canary_size_percent: Value error, expected none for type = ALL_AT_ONCE, found 5; leave it out",
        "wait_interval_s: Value error, expected none for type = ALL_AT_ONCE, found 5; use bake_time_s",
    ]


def test_all_faults_of_a_policy_are_told_at_once() -> None:
    stage = {
        "environment": "production",
        "canary_size_percent": 10,
        "traffic_routing": {"type": "CANARY", "canary_size_percent": 51, "wait_interval_s": 3601},
        "auto_rollback": {"max_p95_ratio": 0.9, "min_requests": 0, "failure_limit": -1},
        "bake_time_s": -1,
    }
    assert faults(Rollout, stages=[stage]) == [
        "stages.0.traffic_routing.canary_size_percent: Input should be less than or equal to 50",
        "stages.0.traffic_routing.wait_interval_s: Input should be less than or equal to 3600",
        "stages.0.bake_time_s: Input should be greater than or equal to 0",
        "stages.0.auto_rollback.max_p95_ratio: Input should be greater than or equal to 1",
        "stages.0.auto_rollback.failure_limit: Input should be greater than or equal to 0",
        "stages.0.auto_rollback.min_requests: Input should be greater than or equal to 1",
        "stages.0.canary_size_percent: Extra inputs are not permitted",
    ]


def test_a_deadline_before_the_end_of_the_bake_time_is_a_fault() -> None:
    routing = {"type": "CANARY", "canary_size_percent": 10, "wait_interval_s": 60}
    found = faults(Stage, environment="production", traffic_routing=routing, bake_time_s=100, auto_rollback={"max_duration_s": 159})
    assert found == [
        "auto_rollback: Value error, expected max_duration_s of at least wait_interval_s + bake_time_s = 160, found 159; "
        "raise it, or bake for less time"
    ]
    over_the_default = faults(Stage, environment="production", bake_time_s=3601)
    assert over_the_default == [found[0].replace("160, found 159", "3601, found 3600")]
    assert Stage(environment="production", bake_time_s=100, auto_rollback=AutoRollback(max_duration_s=100))


def test_every_stage_has_an_environment_of_its_own() -> None:
    twice = [{"environment": "production"}, {"environment": "production"}]
    told = "stages: Value error, expected stages with an environment each of its own, other than staging staging, found "
    assert faults(Rollout, stages=twice) == [told + "production, production"]
    assert faults(Rollout, stages=[{"environment": "staging"}]) == [told + "staging"]
    assert faults(Rollout, stages=[]) == [told + "none"]

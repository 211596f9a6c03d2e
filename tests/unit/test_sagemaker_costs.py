"""What a release costs on SageMaker, from the settings' prices and waits."""

from typing import Any

import pytest

from deployments.sagemaker_costs import fleet_of
from headgate.settings import SageMakerRegion, Stage

REGION = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/replies",
    captures="s3://acme/captures",
    instance_type="ml.c6i.large",
    instance_count=4,
    cost_per_hour=0.102,
    currency="EUR",
    termination_wait_s=300,
)


def stage(**given: Any) -> Stage:
    return Stage.model_validate({"environment": "production", "target": "us-east", **given})


def hours(region: SageMakerRegion, shadow_s: float = 0, **given: Any) -> float:
    return fleet_of(stage(**given), region, shadow_s).release_hours


CANARY = {"type": "CANARY", "canary_size_percent": 10, "wait_interval_s": 600}
LINEAR = {"type": "LINEAR", "linear_step_size_percent": 25, "wait_interval_s": 600}


@pytest.mark.parametrize(
    ("routing", "bake_s", "both_fleets_s"),
    [
        ({"type": "ALL_AT_ONCE"}, 600, 600),
        ({"type": "ALL_AT_ONCE"}, 0, 300),
        (CANARY, 1200, 600 + 1200),
        (LINEAR, 1200, 3 * 600 + 1200),
    ],
)
def test_blue_green_doubles_the_fleet_while_traffic_shifts_and_bakes(routing: dict[str, Any], bake_s: float, both_fleets_s: float) -> None:
    assert hours(REGION, traffic_routing=routing, bake_time_s=bake_s) == pytest.approx(4 * both_fleets_s / 3600)


@pytest.mark.parametrize(("percent", "instances"), [(25, 4), (50, 4), (30, 4), (5, 4)])
def test_rolling_adds_one_batch_at_a_time(percent: int, instances: int) -> None:
    rolling = REGION.model_copy(update={"routing": "rolling"})
    routing = {"type": "CANARY", "canary_size_percent": percent, "wait_interval_s": 600}
    found = hours(rolling, traffic_routing=routing, bake_time_s=900)
    assert found == pytest.approx(instances * 900 / 3600)
    assert found < hours(REGION, traffic_routing=routing, bake_time_s=900)


def test_a_shadow_and_an_ab_test_need_a_fleet_of_their_own() -> None:
    bare = hours(REGION, traffic_routing=CANARY)
    assert hours(REGION, shadow_s=3600, traffic_routing=CANARY) == pytest.approx(bare + 4)
    assert hours(REGION, traffic_routing=CANARY, ab_test={"hold_s": 7200}) == pytest.approx(bare + 8)


def test_it_names_the_stage_and_the_settings_price() -> None:
    found = fleet_of(stage(), REGION)
    assert (found.environment, found.place, found.instances, found.instance_type) == ("production", "us-east", 4, "ml.c6i.large")
    assert (found.per_hour, found.currency) == (0.102, "EUR")
    assert fleet_of(stage(), REGION.model_copy(update={"cost_per_hour": None})).per_hour is None


@pytest.mark.parametrize(
    ("instances", "given", "first"),
    [
        (2, {}, 50),
        (4, {}, 25),
        (10, {}, None),
        (2, {"traffic_routing": LINEAR}, 50),
        (4, {"traffic_routing": LINEAR}, None),
        (2, {"traffic_routing": {"type": "ALL_AT_ONCE"}}, None),
        (2, {"ab_test": {"hold_s": 7200}}, None),
    ],
)
def test_it_tells_where_whole_instances_are_more_traffic_than_was_asked_for(instances: int, given: dict[str, Any], first: int) -> None:
    assert fleet_of(stage(**given), REGION.model_copy(update={"instance_count": instances})).first_percent == first

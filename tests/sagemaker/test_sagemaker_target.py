"""The SageMaker target and the rollout on it, against the simulator: real boto3 over HTTP, captures in S3, alarms in CloudWatch."""

from pathlib import Path

import pytest
from accounts import ENDPOINT, PLACE
from answering_servers import Answering, digest_of, revision, target_on
from rollout_world import CANARY, LINEAR, NEW, OLD, POLICY, RELEASE, World
from simulator import Simulator
from target_ground import releases

from deployments.sagemaker import SageMakerTarget
from deployments.target import EndpointStatus, Plan, Split
from headgate.errors import Refused, Unavailable
from headgate.release.champion import champion
from headgate.settings import ABTest


@pytest.fixture
def target(simulator: Simulator, servers: Answering) -> SageMakerTarget:
    return target_on(simulator, PLACE)


def test_a_canary_that_answers_well_becomes_champion(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    ended = world.run()
    assert (ended.reason, ended.promoted) == ("the release is champion and passed its endpoint test", True)
    assert world.kinds() == ["deploy", "submit", "test", "finish"]
    assert {"wait 0", "wait 25"} <= {*world.seen}
    assert releases(world.target.status(ENDPOINT)) == (RELEASE.id, None, "old")
    assert simulator.client("cloudwatch").describe_alarms()["MetricAlarms"] == []
    live = champion(world.lake, RELEASE.model, "production")
    assert (live and live.release) == RELEASE.id


def test_a_linear_rollout_grows_step_by_step(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, LINEAR, rate=1)
    world.begin()
    ended = world.run()
    assert (ended.reason, ended.promoted) == ("the release is champion and passed its endpoint test", True)
    assert [one for one in dict.fromkeys(world.seen) if one.startswith("wait")] == ["wait 0", "wait 25", "wait 50", "wait 75", "wait 100"]


def test_a_rolling_update_needs_no_second_fleet(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    rolling = target_on(simulator, PLACE.model_copy(update={"routing": "rolling"}))
    world = World(simulator, tmp_path, LINEAR, rate=1, target=rolling)
    world.begin()
    ended = world.run()
    assert (ended.reason, ended.promoted) == ("the release is champion and passed its endpoint test", True)
    assert {"wait 25", "wait 50", "wait 75"} <= {*world.seen}


def test_an_alarm_on_the_new_fleet_takes_it_back_and_the_machine_says_why(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    slow = CANARY.model_copy(update={"auto_rollback": POLICY.model_copy(update={"min_requests": 10_000})})  # the alarm alone can end it
    world = World(simulator, tmp_path, slow)
    world.begin()
    servers.errors[RELEASE.id] = 1.0
    ended = world.run()
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert ended.reason.startswith(
        "failed: the target went back by itself: Deployment was rolled back because the alarm headgate-replies-production-"
    )
    assert releases(world.target.status(ENDPOINT)) == ("old", None, None)


def test_the_machine_stops_what_no_alarm_sees(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    servers.label[RELEASE.id] = "other"
    ended = world.run()
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert ended.reason.startswith("failed: share of ")
    assert world.kinds() == ["deploy", "submit", "roll_back"]
    assert max(int(one.split()[1]) for one in world.seen) == 25
    status = world.target.status(ENDPOINT)
    assert (releases(status), status.split, status.ready) == (("old", None, None), Split(), True)


def test_too_little_traffic_takes_it_back_before_sagemaker_goes_on(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY, rate=0.2)
    world.begin()
    ended = world.run()
    assert (ended.promoted, ended.verdict) == (False, "inconclusive")
    assert "wait 100" not in world.seen
    assert releases(world.target.status(ENDPOINT)) == ("old", None, None)


def test_wrong_answers_after_the_update_bring_the_former_champion_back(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    world._test = lambda _: ["example 0: expected other, found positive"]  # type: ignore[method-assign,assignment] # this world's fault
    ended = world.run()
    assert ended.reason == "failed: the endpoint test found 1 fault(s): example 0: expected other, found positive"
    assert releases(world.target.status(ENDPOINT)) == ("old", None, RELEASE.id)


def test_the_first_release_is_champion_at_once_and_one_that_does_not_start_leaves_nothing(
    target: SageMakerTarget, simulator: Simulator
) -> None:
    model = target.changes.model(ENDPOINT, OLD)
    simulator.break_model(model)
    with pytest.raises(Refused, match="release old did not become ready at endpoint replies-production: The primary container"):
        target.deploy(ENDPOINT, OLD)
    assert target.status(ENDPOINT) == EndpointStatus(endpoint=ENDPOINT, detail="nothing is deployed here")
    simulator.heal()
    assert releases(target.deploy(ENDPOINT, OLD)) == ("old", None, None)
    assert target.deploy(ENDPOINT, OLD).ready


@pytest.mark.parametrize(
    ("errors", "promoted", "champions"),
    [(0.0, True, (RELEASE.id, None, "old")), (1.0, False, ("old", None, None))],
    ids=["a good release", "a bad one"],
)
def test_credentials_that_expire_amid_the_canary_leave_it_to_sagemaker_and_the_next_run_says_how_it_ended(
    simulator: Simulator,
    servers: Answering,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    errors: float,
    promoted: bool,
    champions: tuple[str | None, ...],
) -> None:
    monkeypatch.setattr("tasks.driving.PATIENCE_S", 100.0)
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    servers.errors[RELEASE.id] = errors
    world.heard = lambda look: simulator.fail("DescribeEndpoint", "ExpiredTokenException", 1000) if look == "wait 25" else None
    with pytest.raises(Unavailable, match=r"^endpoint replies-production: AWS answered ExpiredTokenException: injected; renew the creden"):
        world.run()
    world.heard = lambda _: None
    simulator.heal()
    assert world.run().promoted is promoted
    assert releases(world.target.status(ENDPOINT)) == champions
    assert world.kinds()[:2] == ["deploy", "submit"]
    assert world.kinds().count("submit") == 1


def test_throttling_and_lost_replies_stop_nothing(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    changes = ("CreateModel", "CreateEndpointConfig", "PutMetricAlarm", "UpdateEndpoint", "DeleteAlarms")
    for operation in (*changes, "DescribeEndpoint", "ListTags", "GetMetricData"):
        simulator.fail(operation, "ThrottlingException", 2)
        simulator.lose_reply(operation, 1)
    assert world.run().promoted


def test_a_quota_ends_the_rollout_with_what_to_do(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    simulator.fail("UpdateEndpoint", "ResourceLimitExceeded", message="limit for ml.c6i.large is 4 Instances")
    ended = world.run()
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert "limit for ml.c6i.large is 4 Instances; ask for a higher quota (Service Quotas)" in ended.reason
    assert releases(world.target.status(ENDPOINT)) == ("old", None, None)


def test_a_release_for_which_there_are_no_instances_is_taken_back(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    why = "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error."
    simulator.break_model(world.target.changes.model(ENDPOINT, NEW), why)
    ended = world.run()
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert why in ended.reason
    assert releases(world.target.status(ENDPOINT)) == ("old", None, None)


def update_by_somebody_else(target: SageMakerTarget, simulator: Simulator) -> None:
    """To another configuration of the same champion."""
    config = target.changes.config(ENDPOINT, target.changes.known(ENDPOINT).config.cast.model_copy(update={"previous": "another"}), OLD)
    simulator.client("sagemaker").update_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config)


def test_an_endpoint_that_somebody_else_updates_is_not_disturbed(target: SageMakerTarget, simulator: Simulator) -> None:
    target.deploy(ENDPOINT, OLD)
    target.deploy(ENDPOINT, NEW)
    update_by_somebody_else(target, simulator)
    plan = Plan(release=RELEASE.id, type="CANARY", size_percent=25, wait_interval_s=60, max_error_rate=0.01)
    with pytest.raises(
        Unavailable, match="endpoint replies-production is Updating: another update is under way; try again once it is InService"
    ):
        target.submit(ENDPOINT, plan)


def test_a_rollout_waits_for_an_update_by_somebody_else(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY, rate=1.5)
    world.begin()

    def hear(look: str) -> None:
        if look == "submit 0" and world.seen.count(look) == 1:
            update_by_somebody_else(world.target, simulator)

    world.heard = hear
    ended = world.run()
    assert (ended.reason, ended.promoted) == ("the release is champion and passed its endpoint test", True)
    assert world.seen.count("submit 0") > 1, "it was not held up"
    assert [call.operation for call in simulator.calls].count("UpdateEndpoint") == 2


def test_a_split_is_shared_out_by_weights_and_each_variant_can_be_asked(target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, OLD)
    target.deploy(ENDPOINT, NEW)
    assert target.set_split(ENDPOINT, Split()).split == Split()
    assert target.invoke(ENDPOINT, {"instances": [{"text": "x"}]}, cohort="challenger")["model"]["release"] == RELEASE.id
    status = target.set_split(ENDPOINT, Split(champion=40, challenger=60))
    assert (status.split, releases(status)) == (Split(champion=40, challenger=60), ("old", RELEASE.id, None))
    assert releases(target.promote(ENDPOINT, RELEASE.id)) == (RELEASE.id, None, "old")
    assert releases(target.rollback(ENDPOINT, OLD)) == ("old", None, RELEASE.id)


def test_a_shadow_answers_copies_and_both_answers_are_paired(target: SageMakerTarget, simulator: Simulator, servers: Answering) -> None:
    servers.label[RELEASE.id] = "other"
    target.deploy(ENDPOINT, OLD)
    target.deploy(ENDPOINT, NEW)
    assert target.set_split(ENDPOINT, Split(shadow=50)).split == Split(shadow=50)
    for _ in range(20):
        target.invoke(ENDPOINT, {"instances": [{"text": "x"}, {"text": "y"}]})
    simulator.clock.advance(60)
    seen = target.mirrored(ENDPOINT, 600)
    assert (len(seen.pairs), seen.unpaired, seen.champion_requests, seen.errors) == (20, 0, 40, 0)
    assert {(pair.champion.said, pair.challenger.said) for pair in seen.pairs} == {("positive", "other")}
    assert releases(target.rollback(ENDPOINT)) == ("old", None, None)


def test_an_ab_test_is_held_by_the_machine_with_two_variants(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    held = CANARY.model_copy(update={"ab_test": ABTest(challenger_percent=50, hold_s=60), "auto_rollback": POLICY})
    world = World(simulator, tmp_path, held)
    world.begin()
    ended = world.run()
    assert ended.promoted, ended.reason
    assert world.kinds() == ["deploy", "test", "shift", "hold", "report", "promote", "finish"]


def test_a_failed_endpoint_serves_again_after_a_rollback(target: SageMakerTarget, simulator: Simulator) -> None:
    target.deploy(ENDPOINT, OLD)
    endpoint = simulator.endpoint("us-east-1", ENDPOINT)
    assert endpoint
    for broken in ("UpdateRollbackFailed", "Failed"):
        endpoint = simulator.endpoint("us-east-1", ENDPOINT)
        assert endpoint
        endpoint.status, endpoint.failure = broken, "both fleets are gone"
        assert target.progress(ENDPOINT, "old").reason == f"{broken}: both fleets are gone"
        status = target.rollback(ENDPOINT)
        assert (releases(status), status.ready, status.detail) == (("old", None, None), True, "")


def test_a_place_that_wants_model_archives_gets_each_once(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    bundle, digest = tmp_path / "bundle", digest_of("old")
    target = target_on(simulator, PLACE.model_copy(update={"models": "s3://captures/models"}))
    simulator.client("s3").put_object(Bucket="captures", Key=f"models/{digest}.tar.gz", Body=b"as it was")
    target.deploy(ENDPOINT, OLD.model_copy(update={"bundle": bundle}))
    model = target.changes.known(ENDPOINT).config.cast.champion
    container = simulator.client("sagemaker").describe_model(ModelName=model)["PrimaryContainer"]
    assert container["ModelDataUrl"] == f"s3://captures/models/{digest}.tar.gz"
    assert simulator.client("s3").get_object(Bucket="captures", Key=f"models/{digest}.tar.gz")["Body"].read() == b"as it was"


def test_deleting_leaves_what_others_made(target: SageMakerTarget, simulator: Simulator) -> None:
    target.deploy(ENDPOINT, OLD)
    sagemaker = simulator.client("sagemaker")
    sagemaker.create_model(ModelName="replies-production-of-somebody", ExecutionRoleArn=PLACE.role_arn, PrimaryContainer={"Image": "x"})
    target.delete(ENDPOINT)
    target.delete(ENDPOINT)
    assert target.status(ENDPOINT).champion is None
    assert "replies-production-of-somebody" in [one["ModelName"] for one in sagemaker.list_models()["Models"]]


def test_old_models_are_removed_only_beyond_the_window(simulator: Simulator, servers: Answering) -> None:
    target = target_on(simulator, PLACE)
    target = SageMakerTarget(target.place, target.clients, keep=2, sleep=target.sleep, clock=target.clock)
    for name in ("r1", "r2", "r3", "r4"):
        target.deploy(ENDPOINT, revision(name))
        if name != "r1":
            target.promote(ENDPOINT, name)
    kept = {target.states.revision(one["ModelName"]).release for one in target.clients.sagemaker.list_models()["Models"]}
    assert kept == {"r3", "r4"}
    assert releases(target.status(ENDPOINT)) == ("r4", None, "r3")
    assert releases(target.rollback(ENDPOINT, revision("r3"))) == ("r3", None, "r4")

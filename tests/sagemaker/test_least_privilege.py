"""The flows' IAM policies let the SageMaker target do its work, and nothing besides: each request on the simulator is held against them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from answering_servers import Answering, revision, target_on
from botocore.exceptions import ClientError
from simulator import Simulator

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_policies import place_of, policy
from deployments.sagemaker_quality import put_quality
from deployments.target import Plan, Split
from headgate.errors import HeadgateError
from headgate.lake import open_lake
from headgate.monitoring.shipping import ship_once
from headgate.settings import SageMakerRegion

ENDPOINT = "replies-production"
BODY = json.dumps({"instances": [{"text": "Call me"}]}).encode()
PLACE = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/headgate",
    captures="s3://captures/answers",
    instance_count=4,
    termination_wait_s=0,
    ready_s=600,
)


@pytest.fixture
def target(simulator: Simulator, servers: Answering) -> SageMakerTarget:
    return target_on(simulator, PLACE)


def allow(simulator: Simulator, flow: str, model: str = "replies") -> None:
    simulator.policies = [policy(flow, place_of(PLACE, [model]))]


def ask(target: SageMakerTarget, simulator: Simulator, times: int = 8) -> None:
    for _ in range(times):
        target.invoke(ENDPOINT, {"instances": [{"text": "Call me"}]})
    simulator.clock.advance(60)


def look(target: SageMakerTarget) -> int:
    """All that a watch asks; how many requests the champion answered."""
    target.mirrored(ENDPOINT, 3600)
    target.running(ENDPOINT, "champion")
    return next(one.requests for one in target.observe(ENDPOINT, 3600) if one.cohort == "champion")


def test_the_release_flow_may_deploy_shadow_split_submit_and_delete(simulator: Simulator, target: SageMakerTarget) -> None:
    allow(simulator, "release_candidate")
    target.deploy(ENDPOINT, revision("old"))
    target.deploy(ENDPOINT, revision("new"))
    target.set_split(ENDPOINT, Split(shadow=100))
    ask(target, simulator)
    assert len(target.mirrored(ENDPOINT, 3600).pairs) == 8
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    target.rollback(ENDPOINT)
    target.deploy(ENDPOINT, revision("new"))
    target.submit(ENDPOINT, Plan(release="new", type="CANARY", size_percent=25, wait_interval_s=60, bake_time_s=60, max_error_rate=0.05))
    simulator.settle()
    assert target.progress(ENDPOINT, "new").state == "done"
    ask(target, simulator)
    assert look(target) >= 8
    target.delete(ENDPOINT)
    assert target.status(ENDPOINT).champion is None


def test_the_rollback_flow_may_stop_an_update_and_go_back(simulator: Simulator, target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("old"))
    target.deploy(ENDPOINT, revision("new"))
    target.submit(ENDPOINT, Plan(release="new", type="CANARY", size_percent=25, wait_interval_s=240, bake_time_s=60, max_error_rate=0.05))
    simulator.clock.advance(40)
    allow(simulator, "rollback_release")
    back = target.rollback(ENDPOINT)
    assert back.champion
    assert (back.champion.release, back.split) == ("old", Split())


def test_the_watch_may_put_its_metrics_and_change_nothing(simulator: Simulator, target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("old"))
    allow(simulator, "watch_production")
    assert len(put_quality(target.clients, target.states, ENDPOINT, "old", [("Answers", 3.0, "Count")], failed=True)) == 1
    require_no_changes(target)
    with pytest.raises(HeadgateError, match="is not authorized to perform: s3:ListBucket"):
        target.observe(ENDPOINT, 3600)
    with pytest.raises(ClientError, match=r"is not authorized to perform: cloudwatch:PutMetricData"):
        target.clients.cloudwatch.put_metric_data(Namespace="Another", MetricData=[{"MetricName": "Answers", "Value": 1.0}])
    assert not target.status(f"{ENDPOINT}-absent").ready
    simulator.policies = None
    assert target.status(ENDPOINT).challenger is None


def test_who_ships_may_read_captures_and_whose_they_are_and_change_nothing(
    simulator: Simulator, target: SageMakerTarget, tmp_path: Path
) -> None:
    target.deploy(ENDPOINT, revision("old"))
    simulator.client("sagemaker-runtime").invoke_endpoint(EndpointName=ENDPOINT, Body=BODY, ContentType="application/json")
    simulator.clock.advance(60)
    allow(simulator, "shipping")
    target.collect(ENDPOINT, simulator.clock.now() - timedelta(hours=1), tmp_path)
    assert len(list((tmp_path / ENDPOINT / "old").glob("predictions-*.jsonl"))) == 1
    require_no_changes(target)
    with pytest.raises(HeadgateError, match="is not authorized to perform: sagemaker:DescribeEndpoint "):
        target.status(ENDPOINT)


def test_who_ships_may_write_the_logs_into_a_lake_in_s3_and_nothing_else_there(
    simulator: Simulator, target: SageMakerTarget, tmp_path: Path
) -> None:
    simulator.client("s3").create_bucket(Bucket="lake")
    target.deploy(ENDPOINT, revision("old"))
    simulator.client("sagemaker-runtime").invoke_endpoint(EndpointName=ENDPOINT, Body=BODY, ContentType="application/json")
    simulator.clock.advance(60)
    simulator.policies = [policy("shipping", place_of(PLACE, ["replies"], "s3://lake/here"))]
    lake = open_lake("s3://lake/here")
    for parts in (1, 0):  # made anew, as after a kill
        target.collect(ENDPOINT, simulator.clock.now() - timedelta(hours=1), tmp_path / str(parts))
        assert ship_once(lake, tmp_path / str(parts) / ENDPOINT / "old", 0).parts == parts
    with pytest.raises(HeadgateError, match="not authorized to perform: s3:PutObject"):
        lake.put_if_absent("champions/replies/production.json", b"{}")


def require_no_changes(target: SageMakerTarget) -> None:
    """Whoever may only look is refused what would change something."""
    for change in (lambda: target.changes.model(ENDPOINT, revision("new")), lambda: target.changes.gone(ENDPOINT)):
        with pytest.raises(HeadgateError, match="is not authorized to perform: sagemaker:"):
            change()


def test_a_flow_of_one_model_may_not_touch_another_models_endpoint(simulator: Simulator, target: SageMakerTarget) -> None:
    allow(simulator, "release_candidate", model="triage")
    with pytest.raises(HeadgateError, match=r"not authorized to perform: sagemaker:DescribeEndpoint on resource: .*/replies-production"):
        target.status(ENDPOINT)

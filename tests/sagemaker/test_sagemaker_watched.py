"""What watch_production puts in CloudWatch: its measures, and the word by which an update to the judged release goes back, no other."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from answering_servers import Answering, revision, target_on
from simulator import Simulator

import tasks.regions
from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_quality import put_quality
from deployments.target import Plan, Split
from headgate.lake import open_lake
from headgate.monitoring.alarms import Alarm, keep_alarm
from headgate.monitoring.estimated_accuracy import Estimate
from headgate.monitoring.quality import Measure
from headgate.monitoring.traffic import Traffic
from headgate.settings import load_settings
from tasks.watching_production import put_metrics

ENDPOINT = "replies-production"
MEASURE = Measure("EstimatedAccuracy", 87.5, "Percent")
REGION = """
[sagemaker.{name}]
region = "{region}"
role_arn = "arn:aws:iam::123456789012:role/headgate-endpoint"
repository = "123456789012.dkr.ecr.{region}.amazonaws.com/headgate"
captures = "s3://captures/{name}"
instance_count = 4
termination_wait_s = 0
ready_s = 600
"""
STAGE = """
[[models.replies.rollout.stages]]
environment = "{environment}"
target = "{name}"
"""
TOML = "".join(
    [
        'home = "home"\nlake = "lake"\n[models.replies]\ndataset = "replies"\n',
        *(STAGE.format(environment=one, name=name) for one, name in (("eu", "ireland"), ("production", "virginia"))),
        *(REGION.format(name=name, region=region) for name, region in (("virginia", "us-east-1"), ("ireland", "eu-west-1"))),
    ]
)


@pytest.fixture
def target(simulator: Simulator, servers: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SageMakerTarget]:
    """The target in virginia, and the tasks' targets by the simulator's clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_TOML", str(tmp_path / "headgate.toml"))
    (tmp_path / "headgate.toml").write_text(TOML)
    load_settings.cache_clear()
    monkeypatch.setattr(tasks.regions, "get_run_logger", lambda: logging.getLogger("run"))
    yield target_on(simulator, load_settings().sagemaker["virginia"])
    load_settings.cache_clear()


def in_progress(target: SageMakerTarget) -> str:
    """An update from the old release to the new one, which has its share; the configuration that it leads to."""
    target.deploy(ENDPOINT, revision("old"))
    target.deploy(ENDPOINT, revision("new"))
    target.submit(ENDPOINT, Plan(release="new", type="CANARY", size_percent=25, wait_interval_s=600, max_error_rate=0.05))
    target.sleep(40)
    now = target.states.now(ENDPOINT)
    assert now
    assert now.pending
    return now.pending.name


def look(target: SageMakerTarget, release: str, failed: bool) -> list[str]:
    return put_quality(target.clients, target.states, ENDPOINT, release, [MEASURE], failed)


def values(simulator: Simulator, name: str, region: str = "us-east-1", **dimensions: str) -> list[float]:
    """What was put of a metric, the newest last."""
    now = simulator.clock.now()
    found = simulator.client("cloudwatch", region).get_metric_statistics(
        Namespace="Headgate",
        MetricName=name,
        Dimensions=[{"Name": one, "Value": value} for one, value in dimensions.items()],
        StartTime=now - timedelta(hours=3),
        EndTime=now + timedelta(hours=1),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    return [one["Maximum"] for one in sorted(found, key=lambda one: one["Timestamp"])]


def test_a_judged_release_that_fails_is_taken_back_from_an_update_to_it(simulator: Simulator, target: SageMakerTarget) -> None:
    config = in_progress(target)
    assert look(target, "new", failed=True) == [config]
    simulator.settle()
    assert target.progress(ENDPOINT, "new").state == "rolled_back"
    assert f"the alarm headgate-{config}-stop" in target.progress(ENDPOINT, "new").reason
    status = target.status(ENDPOINT)
    assert status.champion
    assert (status.champion.release, status.split) == ("old", Split())


def test_an_alarm_about_the_old_champion_does_not_stop_the_update_that_replaces_it(simulator: Simulator, target: SageMakerTarget) -> None:
    config = in_progress(target)
    (old,) = look(target, "old", failed=True)
    assert old != config
    simulator.clock.advance(120)
    assert look(target, "old", failed=True) == [old]
    simulator.settle()
    assert target.progress(ENDPOINT, "new").state == "done"
    assert values(simulator, "ReleaseFailed", EndpointName=ENDPOINT, EndpointConfigName=config) == []
    assert look(target, "old", failed=True) == []


def test_an_update_to_another_release_is_not_stopped_by_what_is_said_of_a_third(simulator: Simulator, target: SageMakerTarget) -> None:
    in_progress(target)
    assert look(target, "third", failed=True) == []
    simulator.settle()
    assert target.progress(ENDPOINT, "new").state == "done"


def test_all_is_well_is_zero_and_does_not_take_back_the_machines_own_stop(simulator: Simulator, target: SageMakerTarget) -> None:
    config = in_progress(target)
    target.changes.set_stop(config, "ALARM", "the machine's word")
    assert look(target, "new", failed=False) == []
    simulator.settle()
    assert target.progress(ENDPOINT, "new").state == "rolled_back"
    (old,) = look(target, "old", failed=False)
    assert values(simulator, "ReleaseFailed", EndpointName=ENDPOINT, EndpointConfigName=old) == [0.0]
    assert values(simulator, "EstimatedAccuracy", EndpointName=ENDPOINT) == [87.5]


def traffic(release: str, **more: Any) -> Traffic:
    at = datetime.now(UTC)
    times = {
        "since": at - timedelta(days=9),
        "at": at,
        "start": at - timedelta(days=1),
        "end": at,
        "reference_start": at - timedelta(days=8),
    }
    return Traffic(model="replies", release=release, answers=500, own=0, **times, **more)


def test_the_watch_tells_every_region_that_serves_the_release_and_warns_of_one_that_does_not_answer(
    simulator: Simulator, target: SageMakerTarget, caplog: pytest.LogCaptureFixture
) -> None:
    ireland = target_on(simulator, load_settings().sagemaker["ireland"])
    ireland.deploy("replies-eu", revision("new"))
    target.deploy(ENDPOINT, revision("new"))
    found = traffic("new", estimate=Estimate(answers=480, accuracy=0.91, low=0.89, high=0.93))
    assert put_metrics.fn("replies", found) == 2
    for region, endpoint in (("us-east-1", ENDPOINT), ("eu-west-1", "replies-eu")):
        assert values(simulator, "EstimatedAccuracy", region, EndpointName=endpoint) == [91.0]
        assert values(simulator, "StandingAlarms", region, EndpointName=endpoint) == [0.0]
    now = target.states.now(ENDPOINT)
    assert now
    where = {"EndpointName": ENDPOINT, "EndpointConfigName": now.config.name}
    assert values(simulator, "ReleaseFailed", **where) == [0.0]
    reasons = {"estimated accuracy": "fell"}
    about = {"model": "replies", "release": "new", "at": found.at, "window_end": found.end, "reasons": reasons}
    keep_alarm(open_lake("lake"), Alarm(number=1, **about))
    simulator.clock.advance(120)
    simulator.fail("DescribeEndpoint", "ValidationException", 10, "no such day", region="eu-west-1")
    with caplog.at_level(logging.WARNING, "run"):
        assert put_metrics.fn("replies", found) == 1
    assert values(simulator, "ReleaseFailed", **where) == [0.0, 1.0]
    assert values(simulator, "StandingAlarms", EndpointName=ENDPOINT) == [0.0, 1.0]
    assert [one.getMessage() for one in caplog.records if one.name == "run"] == [
        "no metrics were put in CloudWatch of [sagemaker.ireland]: endpoint replies-eu: AWS answered ValidationException: no such day"
    ]


def test_a_look_that_a_run_which_goes_on_much_later_finds_is_no_news(target: SageMakerTarget) -> None:
    target.deploy(ENDPOINT, revision("new"))
    found = traffic("new")
    assert put_metrics.fn("replies", found.model_copy(update={"at": found.at - timedelta(hours=2)})) == 0
    assert put_metrics.fn("replies", found) == 2

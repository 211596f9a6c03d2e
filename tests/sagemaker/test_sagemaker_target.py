"""The SageMaker target and the rollout on it, against the simulator: real boto3 over HTTP, captures in S3, alarms in CloudWatch."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from answering_servers import Answering, answering, digest_of
from simulated_rollout import Times
from simulator import Simulator

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_clients import Clients
from deployments.target import EndpointStatus, Plan, Revision, Split
from headgate.data.version import DataVersion
from headgate.errors import Refused, Unavailable
from headgate.lake import FolderLake
from headgate.release.champion import champion, crown
from headgate.release.record import Release
from headgate.release.rollout import steps
from headgate.settings import ABTest, AutoRollback, SageMakerRegion, Stage, TrafficRouting
from tasks.driving import Drive, StageEnd

ENDPOINT = "replies-production"
RELEASE = Release(
    model="replies",
    candidate="c" * 16,
    bundle_digest="b" * 64,
    data_version=DataVersion(dataset="replies", version=0, digest="d" * 32, rows=700),
    commit="0" * 40,
    evidence_digest="f" * 64,
    verdict="passed",
    expected_champion=None,
    started_by="person:ada@example.com",
    registered_version="1",
)
PLACE = SageMakerRegion(
    region="us-east-1",
    role_arn="arn:aws:iam::123456789012:role/headgate-endpoint",
    repository="123456789012.dkr.ecr.us-east-1.amazonaws.com/headgate",
    captures="s3://captures/answers",
    instance_type="ml.c6i.large",
    instance_count=4,
    termination_wait_s=30,
    ready_s=600,
)
POLICY = AutoRollback(min_requests=30, max_duration_s=200, max_p95_ratio=20, max_p99_ratio=50)
CANARY = Stage(
    environment="production",
    target="virginia",
    traffic_routing=TrafficRouting(type="CANARY", canary_size_percent=25),
    bake_time_s=60,
    auto_rollback=POLICY,
)
LINEAR = CANARY.model_copy(
    update={"traffic_routing": TrafficRouting(type="LINEAR", linear_step_size_percent=25, wait_interval_s=40), "bake_time_s": 30}
)
ALL = CANARY.model_copy(update={"traffic_routing": TrafficRouting(type="ALL_AT_ONCE")})


def revision(release: str) -> Revision:
    return Revision(
        release=release, bundle_digest=digest_of(release), bundle="none", model="replies", image_digest=f"sha256:{digest_of(release)}"
    )


OLD, NEW = revision("old"), revision(RELEASE.id)


@pytest.fixture
def servers(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    simulator.times = Times(provision_s=20, shift_s=5, scale_s=5, delete_s=5)
    simulator.client("s3").create_bucket(Bucket="captures")
    with answering(simulator, monkeypatch) as found:
        yield found


@pytest.fixture
def target(simulator: Simulator, servers: Answering) -> SageMakerTarget:
    return made(simulator)


def made(simulator: Simulator, place: SageMakerRegion = PLACE) -> SageMakerTarget:
    names = ("sagemaker", "sagemaker-runtime", "s3", "ecr", "cloudwatch", "sts")
    clients = Clients(*(simulator.client(name) for name in names))
    return SageMakerTarget(place, clients, sleep=simulator.clock.advance, clock=simulator.clock.now)


class World:
    """A rollout by the simulator's clock, with `rate` requests a second."""

    def __init__(self, simulator: Simulator, folder: Path, stage: Stage, rate: float = 4, target: Any = None) -> None:
        self.simulator, self.stage, self.rate = simulator, stage, rate
        self.target, self.lake = target or made(simulator), FolderLake(folder)
        self.seen: list[str] = []
        self.during: Callable[[EndpointStatus], None] = lambda _: None

    def begin(self) -> None:
        self.target.deploy(ENDPOINT, OLD)
        crown(self.lake, RELEASE.model, "production", "old", None, self.simulator.clock.now())

    def run(self) -> StageEnd:
        return Drive(
            lake=self.lake,
            target=self.target,
            endpoint=ENDPOINT,
            release=RELEASE,
            stage=self.stage,
            revision=lambda: NEW,
            test=self._test,
            probe=self._wait,
            told=lambda now, action: self.seen.append(f"{action.kind} {now.challenger_percent}"),
            clock=self.simulator.clock.now,
        ).to_the_end()

    def kinds(self) -> list[str]:
        return [step.action.kind for step in steps(self.lake, RELEASE.id) if step.phase == "intent"]

    def _wait(self, seconds: float) -> None:
        for _ in range(round(self.rate * seconds)):
            try:
                self.target.invoke(ENDPOINT, {"instances": [{"text": "Call me"}]})
            except Unavailable:
                pass
        self.simulator.clock.advance(seconds)
        self.during(self.target.status(ENDPOINT))

    def _test(self, ask: Callable[[dict[str, Any]], dict[str, Any]]) -> Sequence[str]:
        found = ask({"instances": [{"text": "Hello"}]})["model"]["release"]
        return [] if found == RELEASE.id else [f"expected {RELEASE.id}, found {found}"]


def test_a_canary_that_answers_well_becomes_champion(simulator: Simulator, servers: Answering, tmp_path: Path) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    ended = world.run()
    assert (ended.promoted, ended.reason) == (True, "the release is champion and passed its endpoint test")
    assert world.kinds() == ["deploy", "submit", "test", "finish"]
    assert {"wait 0", "wait 25"} <= {*world.seen}
    status = world.target.status(ENDPOINT)
    assert (status.champion and status.champion.release, status.challenger, status.previous and status.previous.release) == (
        RELEASE.id,
        None,
        "old",
    )

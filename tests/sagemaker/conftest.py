"""Fixtures of the SageMaker lane: the simulator, or with HEADGATE_AWS_TESTS=1 a real AWS account.

A real account is named by HEADGATE_AWS_ROLE (execution role), HEADGATE_AWS_IMAGE (a serving image in ECR, by digest) and
HEADGATE_AWS_BUCKET; credentials and region are boto3's. Tests that ask for `simulator` move its clock or break it, so that they
are skipped there.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from accounts import IMAGE, ROLE, Account
from answering_servers import Answering, answering
from containers import Containers
from simulated_rollout import Times
from simulator import Simulator, simulated

REAL = os.environ.get("HEADGATE_AWS_TESTS") == "1"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("sagemaker")


@pytest.fixture(scope="session")
def one_simulator() -> Iterator[Simulator]:
    with simulated() as simulator:
        yield simulator


@pytest.fixture
def simulator(one_simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """The simulator without anything in it; boto3's default session of this process and of its children leads to it."""
    if REAL:
        pytest.skip("HEADGATE_AWS_TESTS=1: AWS has no clock to move and no faults to order; this was only simulated")
    one_simulator.reset()
    told = {"AWS_ENDPOINT_URL": one_simulator.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "NO_PROXY": "127.0.0.1"}
    for name, value in {**told, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield one_simulator
    one_simulator.reset()


@pytest.fixture
def servers(simulator: Simulator) -> Iterator[Answering]:
    """What answers for every model of the simulator, whose waits are short."""
    simulator.times = Times(provision_s=20, shift_s=5, scale_s=5, delete_s=5)
    simulator.client("s3").create_bucket(Bucket="captures")
    with answering(simulator) as found:
        yield found


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Account:
    """The simulator or real AWS, for tests that can run on both."""
    if not REAL:
        simulator: Simulator = request.getfixturevalue("simulator")
        simulator.client("s3").create_bucket(Bucket="headgate-tests")
        return Account(True, simulator.client, simulator.clock.advance, ROLE, IMAGE, "headgate-tests")
    wanted = {name: os.environ.get(f"HEADGATE_AWS_{name}") for name in ("ROLE", "IMAGE", "BUCKET")}
    if missing := [f"HEADGATE_AWS_{name}" for name, value in wanted.items() if not value]:
        pytest.skip(f"HEADGATE_AWS_TESTS=1: expected {', '.join(missing)} too")
    return Account(False, lambda service, region=None: boto3.client(service, region_name=region), time.sleep, *map(str, wanted.values()))


@pytest.fixture
def containers(simulator: Simulator) -> Iterator[Containers]:
    """What serves the models of the simulator from now on."""
    found = Containers()
    simulator.serve = found.address
    yield found
    found.close()


@pytest.fixture
def unique() -> str:
    """A name that no other run has, for what is made in a real account."""
    return f"headgate-test-{uuid4().hex[:8]}"

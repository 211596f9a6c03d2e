"""What every target promises, of the SageMaker target against the simulator, whose clock moves where other targets wait.

A release that was deployed stands by without servers until it gets traffic: `TestSageMakerTarget`. An A/B test begins with a split of 0,
which gives it some: what holds of a target that is driven step by step holds then too, in `SideBySide`.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from accounts import ENDPOINT, PLACE
from answering_servers import Answering, revision, target_on
from dying_clients import killed_before
from simulator import Simulator
from target_contract import StepwiseContract, TargetContract, TrafficContract
from target_ground import BODY, Ground, Revisions, releases
from target_kills import StepwiseKillContract

from deployments.sagemaker import SageMakerTarget
from deployments.sagemaker_objects import model_request
from deployments.target import EndpointStatus, Revision, Split
from headgate.errors import Refused

LATE_S = 60  # captures and metrics are there by then


@dataclass(frozen=True)
class SideBySide(SageMakerTarget):
    """The target as `tasks.driving` begins an A/B test on it."""

    def deploy(self, endpoint: str, revision: Revision) -> EndpointStatus:
        """The challenger stands by, then a split of 0 gives it servers."""
        status = super().deploy(endpoint, revision)
        return self.set_split(endpoint, Split()) if status.split == Split() else status


class OnSimulator:
    """The fixtures of `target_ground`."""

    kind: type[SageMakerTarget] = SageMakerTarget

    @pytest.fixture
    def endpoint(self) -> str:
        return ENDPOINT

    @pytest.fixture
    def revisions(self, simulator: Simulator) -> Revisions:
        found = Revisions(revision("one"), revision("two"), revision("bad"))
        simulator.break_model(model_request(ENDPOINT, found.faulty, PLACE)["ModelName"])
        return found

    @pytest.fixture
    def make_target(self, simulator: Simulator) -> Callable[..., SageMakerTarget]:
        def made(public_key: Path | None = None) -> SageMakerTarget:
            found = target_on(simulator, PLACE)

            def sleep(seconds: float) -> None:  # by the clock's method of the moment, which `traffic` puts itself before
                simulator.clock.advance(seconds)

            return self.kind(found.place, found.clients, public_key, sleep=sleep, clock=found.clock)

        return made

    @pytest.fixture
    def target(self, make_target: Callable[..., SageMakerTarget], servers: object) -> SageMakerTarget:
        """By a clock of whole seconds, as captures have them."""
        found = make_target()
        found.sleep(1 - found.clock().microsecond / 1e6)
        return found

    @pytest.fixture
    def servers(self, servers: Answering, simulator: Simulator) -> Callable[[], set[str]]:
        def found() -> set[str]:
            endpoint = simulator.endpoint(PLACE.region, ENDPOINT)
            changing = endpoint.deployment.fleet if endpoint and endpoint.deployment else None
            fleets = [fleet for fleet in (endpoint and endpoint.fleet, changing) if fleet]
            models = {variant["ModelName"] for fleet in fleets for variant in fleet.variants()}
            return {release_of(simulator, model) for model in models}

        return found

    @pytest.fixture
    def clock(self, simulator: Simulator) -> Any:
        return simulator.clock.now

    @pytest.fixture
    def pause(self, simulator: Simulator) -> Any:
        return lambda: simulator.clock.advance(LATE_S)

    @pytest.fixture
    def client(self, target: SageMakerTarget) -> Any:
        """Not by `invoke`, whose questions to a cohort by name are the flows' own, and count nowhere."""
        return lambda cohort: asked(target, TargetVariant=cohort)

    @pytest.fixture
    def traffic(self, target: SageMakerTarget, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> Any:
        """A client asks before and after each while that passes by the simulator's clock."""

        @contextmanager
        def asking(_: str | None) -> Iterator[list[str]]:
            failures: list[str] = []
            answers: list[str] = []
            advance = simulator.clock.advance

            def ask() -> None:
                try:
                    answers.append(asked(target))
                except Exception as fault:
                    failures.append(repr(fault))

            def pass_time(seconds: float) -> None:
                ask()
                advance(seconds)
                ask()

            with monkeypatch.context() as patch:
                patch.setattr(simulator.clock, "advance", pass_time)
                yield failures
            assert answers

        return asking

    @pytest.fixture
    def doomed(self, make_target: Callable[..., SageMakerTarget]) -> Any:
        @contextmanager
        def dying(moment: int) -> Iterator[SageMakerTarget]:
            target = make_target()
            with killed_before(target.clients, moment):
                yield target

        return dying


def asked(target: SageMakerTarget, **named: str) -> str:
    """The release that answers a client of the endpoint."""
    body = json.dumps(BODY).encode()
    said = target.clients.runtime.invoke_endpoint(EndpointName=ENDPOINT, Body=body, ContentType="application/json", **named)
    return str(json.loads(said["Body"].read())["model"]["release"])


def release_of(simulator: Simulator, model: str) -> str:
    """By what the simulator has of the model."""
    described = simulator.client("sagemaker").describe_model(ModelName=model)
    return str(described["PrimaryContainer"]["Environment"]["HEADGATE_SERVE_RELEASE"])


class TestSageMakerTarget(OnSimulator, TargetContract):
    """What holds while the challenger stands by without servers."""


class TestSageMakerTargetSideBySide(OnSimulator, StepwiseContract, TrafficContract):
    kind = SideBySide

    # What users correct does not reach the servers of a SageMaker endpoint, and so no observation (docs/sagemaker.md).
    test_an_observation_tells_of_corrections_where_they_are_asked_for = None

    def test_a_revision_that_does_not_start_is_refused_and_everybody_else_goes_on(self, beside: Ground) -> None:
        """Its split is refused, not its deploy, which took the challenger before off: it stands by still, and starts at another try."""
        first, _, faulty = beside.revisions
        with (
            beside.traffic(beside.status.url) as failures,
            pytest.raises(Refused, match=rf"^release {faulty.release} did not become ready at endpoint {beside.endpoint}: "),
        ):
            beside.deploy(faulty)
        assert failures == []
        status = beside.status
        assert (releases(status)[:2], status.split, status.ready) == ((first.release, faulty.release), Split(), True)
        assert (beside.servers(), beside.answered_by()) == ({first.release}, first.release)


class TestSageMakerTargetKilled(OnSimulator, StepwiseKillContract):
    """Before each call that changes something; what only a native target does is in test_sagemaker_target."""

    kind = SideBySide

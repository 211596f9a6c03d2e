"""What is killed on SageMaker is finished by repeating it: steps that only a native target has, repairs, and whole rollouts.

Splits, promotions, rollbacks and removals are killed in test_sagemaker_contract, rollouts over two regions in test_sagemaker_regions.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from accounts import ENDPOINT, PLACE
from answering_servers import Answering, revision, target_on
from dying_clients import changes_heard, killed_before
from rollout_world import CANARY, NEW, OLD, RELEASE, World
from simulated_rollout import Times
from simulator import Simulator
from target_ground import releases
from target_kills import Killed

from deployments.sagemaker import SageMakerTarget
from deployments.target import EndpointStatus, Plan, Split
from headgate.errors import NotFound, Refused
from headgate.lake import FolderLake
from headgate.release.champion import champion
from tasks.driving import StageEnd


@pytest.fixture
def target(simulator: Simulator, servers: Answering) -> SageMakerTarget:
    return target_on(simulator, PLACE)


def plan_under_way(target: SageMakerTarget) -> None:
    """The release that stands by gets its share."""
    target.submit(ENDPOINT, Plan(release=RELEASE.id, type="CANARY", size_percent=25, wait_interval_s=60, max_error_rate=0.01))
    target.sleep(40)


def nothing(_: SageMakerTarget) -> None:
    """No step before."""


def both(target: SageMakerTarget) -> None:
    """A champion, and a release that stands by."""
    target.deploy(ENDPOINT, OLD)
    target.deploy(ENDPOINT, NEW)


def broken(target: SageMakerTarget, simulator: Simulator) -> None:
    """A champion with one before it fails, and takes no update any more."""
    both(target)
    target.promote(ENDPOINT, RELEASE.id)
    endpoint = simulator.endpoint(PLACE.region, ENDPOINT)
    assert endpoint
    endpoint.status, endpoint.failure = "Failed", "both fleets are gone"


STEPS: dict[str, tuple[tuple[Callable[[SageMakerTarget], object], ...], Callable[[SageMakerTarget], object], Any]] = {
    "the first deploy": ((nothing,), lambda target: target.deploy(ENDPOINT, OLD), ("old", None, None)),
    "a deploy": ((lambda target: target.deploy(ENDPOINT, OLD),), lambda target: target.deploy(ENDPOINT, NEW), ("old", RELEASE.id, None)),
    "a shadow": ((both,), lambda target: target.set_split(ENDPOINT, Split(shadow=20)), ("old", RELEASE.id, None)),
    "a submission": ((both,), plan_under_way, ("old", RELEASE.id, None)),
    "a stop": ((both, plan_under_way), lambda target: target.rollback(ENDPOINT), ("old", None, None)),
}

REPAIRS: dict[str, tuple[Callable[[SageMakerTarget], object], Any]] = {
    "a rollback": (lambda target: target.rollback(ENDPOINT), (RELEASE.id, None, "old")),
    "a rollback to the release before": (lambda target: target.rollback(ENDPOINT, OLD), ("old", None, RELEASE.id)),
    "a rollback to another": (lambda target: target.rollback(ENDPOINT, revision("older")), ("older", None, RELEASE.id)),
}


@pytest.mark.parametrize("repeated", REPAIRS)
def test_a_failed_endpoint_whose_repair_is_killed_at_any_call_is_made_again_by_any_rollback(
    target: SageMakerTarget, simulator: Simulator, repeated: str
) -> None:
    act, expected = REPAIRS[repeated]
    gone = 0
    for moment in range(100):
        broken(target, simulator)
        killed = False
        with killed_before(target.clients, moment):
            try:
                target.rollback(ENDPOINT)
            except Killed:
                killed = True
        simulator.settle()
        between = target.status(ENDPOINT)
        assert releases(between) == (RELEASE.id, None, "old"), "a rollout's machine must not take it for an endpoint without a champion"
        gone += between.url is None
        act(target)
        status = target.status(ENDPOINT)
        assert (releases(status), status.ready, status.detail) == (expected, True, "")
        target.delete(ENDPOINT)
        with pytest.raises(NotFound, match=rf"^no endpoint {ENDPOINT}\b"):
            target.rollback(ENDPOINT)
        if not killed:
            assert moment > gone > 0, "no kill found it deleted"
            return


def test_a_deploy_after_a_repair_that_was_killed_finishes_it_and_stands_by(target: SageMakerTarget, simulator: Simulator) -> None:
    broken(target, simulator)
    with pytest.raises(Refused, match=rf"^endpoint {ENDPOINT} is Failed: both fleets are gone; `headgate rollback` repairs it$"):
        target.deploy(ENDPOINT, revision("next"))
    with killed_before(target.clients, 4), pytest.raises(Killed):
        target.rollback(ENDPOINT)
    simulator.settle()
    assert target.status(ENDPOINT) == EndpointStatus(
        endpoint=ENDPOINT,
        champion=target.states.known(target.changes.model(ENDPOINT, NEW)),
        previous=target.states.known(target.changes.model(ENDPOINT, OLD)),
        detail="it failed and was deleted, to be made anew with this champion; `headgate rollback` goes on with that",
    )
    assert releases(target.deploy(ENDPOINT, revision("next"))) == (RELEASE.id, "next", "old")


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_killed_at_any_call_is_finished_by_repeating_it(simulator: Simulator, step: str) -> None:
    before, act, expected = STEPS[step]
    for moment in range(100):
        simulator.reset()
        simulator.client("s3").create_bucket(Bucket="captures")
        simulator.times = Times(provision_s=20, shift_s=5, scale_s=5, delete_s=5)
        servers = Answering()
        simulator.serve = servers.address
        target = target_on(simulator, PLACE)
        for earlier in before:
            earlier(target)
        dying, killed = target_on(simulator, PLACE), False
        with killed_before(dying.clients, moment):
            try:
                act(dying)
            except Killed:
                killed = True
        act(target_on(simulator, PLACE))  # after the last call too
        assert releases(target_on(simulator, PLACE).status(ENDPOINT)) == expected
        servers.close()
        if not killed:
            assert moment > 0
            return


class Deaths:
    """Kills a process once at each kind of change: before it, and after it. A change is a call to AWS or a record in the lake."""

    def __init__(self) -> None:
        self.died: list[str] = []

    def before(self, change: str) -> None:
        self._once(f"before {change}")

    def after(self, change: str) -> None:
        self._once(f"after {change}")

    def _once(self, moment: str) -> None:
        if moment not in self.died:
            self.died.append(moment)
            raise Killed

    def around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """The lake's way to write, at which the process may be killed."""

        def written(lake: FolderLake, key: str, data: bytes, *more: Any) -> Any:
            record = json.loads(data)
            name = f"{record['phase']} of {record['action']['kind']}" if "/rollout/" in key else key.split("/")[0]
            self.before(name)
            done = write(lake, key, data, *more)
            self.after(name)
            return done

        return written


def killed_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[StageEnd, list[str]]:
    """Drive the release to its end, and again each time it was killed; how it ended, and where it was killed."""
    deaths = Deaths()
    with changes_heard(world.target.clients, deaths.before, deaths.after), monkeypatch.context() as patch:
        for name in ("put_if_absent", "compare_and_swap"):
            patch.setattr(FolderLake, name, deaths.around(getattr(FolderLake, name)))
        while True:
            try:
                return world.run(), deaths.died
            except Killed:
                continue


def around(*changes: str) -> set[str]:
    """Before and after each."""
    return {f"{side} {change}" for side in ("before", "after") for change in changes}


def test_a_rollout_that_is_killed_at_each_kind_of_change_arrives(
    simulator: Simulator, servers: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    ended, deaths = killed_again_and_again(world, monkeypatch)
    assert (ended.reason, ended.promoted) == ("the release is champion and passed its endpoint test", True)
    assert around("intent of submit", "UpdateEndpoint", "PutMetricAlarm", "intent of finish", "champions", "audit") <= {*deaths}
    assert releases(world.target.status(ENDPOINT)) == (RELEASE.id, None, "old")
    live = champion(world.lake, RELEASE.model, "production")
    assert (live and live.release) == RELEASE.id
    assert [call.operation for call in simulator.calls].count("UpdateEndpoint") == 1, "nobody was shifted twice"
    assert simulator.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def test_a_rollout_that_goes_wrong_and_is_killed_at_each_kind_of_change_is_taken_back(
    simulator: Simulator, servers: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    servers.label[RELEASE.id] = "other"
    ended, deaths = killed_again_and_again(world, monkeypatch)
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert around("intent of roll_back", "PutMetricData", "SetAlarmState", "DeleteTags", "DeleteAlarms") <= {*deaths}
    status = world.target.status(ENDPOINT)
    assert (releases(status), status.split, status.ready) == (("old", None, None), Split(), True)
    live = champion(world.lake, RELEASE.model, "production")
    assert (live and live.release) == "old"
    assert simulator.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def test_a_rollout_whose_way_back_fails_and_is_killed_at_each_kind_of_change_has_its_champion_made_again(
    simulator: Simulator, servers: Answering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(simulator, tmp_path, CANARY)
    world.begin()
    servers.label[RELEASE.id] = "other"
    simulator.rollback_fails = True
    ended, deaths = killed_again_and_again(world, monkeypatch)
    assert (ended.promoted, ended.verdict) == (False, "failed")
    assert around("intent of roll_back", "DeleteEndpoint", "CreateEndpoint", "DeleteEndpointConfig") <= {*deaths}
    status = world.target.status(ENDPOINT)
    assert (releases(status), status.split, status.ready) == (("old", None, None), Split(), True)
    live = champion(world.lake, RELEASE.model, "production")
    assert (live and live.release) == "old"

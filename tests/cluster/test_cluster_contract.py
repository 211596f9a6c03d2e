"""What every target promises, of the Kubernetes target on a real cluster.

A pod takes seconds to start and to leave, so that the endpoint stays from test to test, and a change is killed at a few moments only.
All of it takes minutes, so that it is not in .ci/run: pytest tests/cluster -m cluster
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from clients import failures, load
from kubectl import ENDPOINT
from target_contract import StepwiseContract, TrafficContract
from target_ground import Revisions
from target_kills import Killed, StepwiseKillContract

from deployments.cluster import OWNED, Cluster
from deployments.kubernetes import KubernetesTarget
from deployments.manifests.workload import Manifest

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]


class DyingCluster(Cluster):
    """The namespace, for a process that dies before its n-th change of it."""

    def __init__(self, of: Cluster, moments: int) -> None:
        super().__init__(of.namespace, of.context)
        self._left = moments

    def _moment(self) -> None:
        if self._left == 0:
            raise Killed
        self._left -= 1

    def apply(self, manifest: Manifest) -> Manifest:
        self._moment()
        return super().apply(manifest)

    def scale(self, deployment: Manifest, replicas: int) -> None:
        self._moment()
        super().scale(deployment, replicas)

    def remove(self, found: Manifest) -> None:
        self._moment()
        super().remove(found)


@pytest.fixture(scope="module")
def kept(make_target: Callable[..., KubernetesTarget]) -> Iterator[KubernetesTarget]:
    """A target whose endpoint stays from test to test, and is gone after the last one."""
    found = make_target()
    yield found
    found.delete(ENDPOINT)


class OnACluster:
    """The fixtures of `target_ground`."""

    @pytest.fixture
    def target(self, kept: KubernetesTarget) -> KubernetesTarget:
        return kept

    @pytest.fixture
    def endpoint(self) -> str:
        return ENDPOINT

    @pytest.fixture
    def revisions(self, revisions: dict[str, Any]) -> Revisions:
        return Revisions(revisions["first"], revisions["second"], revisions["crash"])

    @pytest.fixture
    def servers(self, target: KubernetesTarget) -> Callable[[], set[str]]:
        def found() -> set[str]:
            there = target.cluster.named("apps/v1", "Deployment", OWNED | {"app.kubernetes.io/name": ENDPOINT})
            return {one["metadata"]["annotations"]["headgate.io/release"] for one in there}

        return found

    @pytest.fixture
    def doomed(self, make_target: Callable[..., KubernetesTarget]) -> Any:
        @contextmanager
        def dying(moment: int) -> Iterator[KubernetesTarget]:
            target = make_target()
            yield replace(target, _clusters={"": DyingCluster(target.cluster, moment)})

        return dying

    @pytest.fixture
    def traffic(self) -> Any:
        @contextmanager
        def asked(url: str) -> Iterator[list[Any]]:
            failed: list[Any] = []
            with load(url, 10) as found:
                yield failed
            failed += failures(found)

        return asked


class TestKubernetesTarget(OnACluster, StepwiseContract, TrafficContract):
    # A rollback waits until its deadline for what looks hopeless, since a registry may come back: a minute and a half for nothing.
    test_a_rollback_to_a_revision_that_does_not_start_is_refused_and_everybody_else_goes_on = None


class TestKubernetesTargetKilledNowAndThen(OnACluster, StepwiseKillContract):
    """A deploy before its objects, amid them and before the route; a promotion before the route, and amid what it removes."""

    stride = 4
    # The same calls in another order, and each moment takes the time of two pods:
    test_a_deploy_is_undone_by_a_rollback_instead = None
    test_a_rollback_is_completed_by_repeating_it = None
    test_a_rollback_to_a_revision_is_completed_by_repeating_it = None
    test_a_delete_is_completed_by_repeating_it = None
    test_a_split_is_completed_by_repeating_it = None
    test_a_promotion_is_completed_by_repeating_it = None


@pytest.mark.slow
class TestKubernetesTargetKilledOften(OnACluster, StepwiseKillContract):
    stride = 2

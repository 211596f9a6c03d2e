"""The Kubernetes target on a cluster without Gateway API: shares are those of pods, behind one Service."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_cluster import MadeUpCluster
from test_kubernetes_changes import ENDPOINT, FIRST, ONE, SECOND, THIRD, THREE, TWO, scaled

from deployments import cluster_servers, cluster_services
from deployments.kubernetes import KubernetesTarget, Place
from deployments.manifests.workload import Replicas, Resources
from deployments.target import Split
from headgate.errors import BadInput, NotFound, Refused, Unavailable


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpCluster:
    for module, name in ((cluster_servers, "LOOK_S"), (cluster_servers, "LAST_COPY_S"), (cluster_services, "LOOK_S")):
        monkeypatch.setattr(module, name, 0.001)
    return MadeUpCluster(tmp_path / "pods")


@pytest.fixture
def target(cluster: MadeUpCluster, tmp_path: Path) -> KubernetesTarget:
    place = Place(namespace="sales", gateway=None, url=f"http://{ENDPOINT}.sales.svc", repository="r.example/replies")
    size = (Resources(), Replicas(least=4, most=8))
    return KubernetesTarget(place, tmp_path / "home", lambda _: size, ready_s=0.3, _clusters={"": cluster})


def behind(cluster: MadeUpCluster) -> dict[str, int]:
    """How many pods of each release the Service leads to."""
    pods = cluster.named("v1", "Pod", cluster.objects["Service", ENDPOINT]["spec"]["selector"])
    names = [pod["metadata"]["labels"]["headgate.io/release"] for pod in pods]
    return {name: names.count(name) for name in names}


def floors(cluster: MadeUpCluster, release: str) -> tuple[int, int]:
    [one] = cluster._of("HorizontalPodAutoscaler", release)
    return one["spec"]["minReplicas"], one["spec"]["maxReplicas"]


def test_a_share_is_made_of_whole_pods_and_is_never_more_than_was_asked_for(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    assert target.deploy(ENDPOINT, FIRST).champion == FIRST
    target.deploy(ENDPOINT, SECOND)
    assert behind(cluster) == {ONE: 4}, "a challenger gets nothing until it is given something"
    assert target.set_split(ENDPOINT, Split(champion=80, challenger=20)).split.challenger == 20
    assert behind(cluster) == {ONE: 4, TWO: 1}
    assert (floors(cluster, ONE), floors(cluster, TWO)) == ((4, 4), (1, 1)), "an autoscaler would change the shares"
    target.set_split(ENDPOINT, Split(champion=80, challenger=20))
    assert (floors(cluster, ONE), floors(cluster, TWO)) == ((4, 4), (1, 1)), "a repair leaves it at that"
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    assert behind(cluster) == {ONE: 4, TWO: 4}
    target.set_split(ENDPOINT, Split(champion=70, challenger=30))
    assert behind(cluster) == {ONE: 4, TWO: 1}
    target.promote(ENDPOINT, SECOND.release)
    assert (behind(cluster), floors(cluster, TWO), cluster.releases()) == ({TWO: 4}, (4, 8), {TWO})


def test_a_rollback_gives_the_champion_all_and_its_autoscaler_back(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    scaled(cluster, ONE, 6)
    target.deploy(ENDPOINT, SECOND)
    target.set_split(ENDPOINT, Split(champion=75, challenger=25))
    assert behind(cluster) == {ONE: 6, TWO: 2}
    target.rollback(ENDPOINT)
    assert (behind(cluster), floors(cluster, ONE), cluster.releases()) == ({ONE: 6}, (6, 8), {ONE})


def test_a_share_that_whole_pods_cannot_have_and_a_shadow_are_refused(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    before = target.deploy(ENDPOINT, SECOND)
    told = r"found 5%: without Gateway API one pod beside 4 of the champion has 20%; ask for as much, or for more pods \(rate_per_s\)"
    with pytest.raises(Refused, match=told):
        target.set_split(ENDPOINT, Split(champion=95, challenger=5))
    with pytest.raises(Refused, match="a cluster without Gateway API copies no requests to a shadow"):
        target.set_split(ENDPOINT, Split(shadow=10))
    assert (target.status(ENDPOINT), behind(cluster)) == (before, {ONE: 4})


def test_a_release_that_starts_during_a_canary_is_not_behind_the_service(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    seen: list[dict[str, int]] = []

    def started(manifest: dict[str, Any]) -> None:
        if manifest["kind"] == "Deployment":
            seen.append(behind(cluster))

    cluster.after_apply = started
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    assert seen == [{ONE: 4}] * 2, "nor is a challenger that is repaired, which may have too many pods then"
    assert target.deploy(ENDPOINT, THIRD).challenger == THIRD
    assert seen == [{ONE: 4}] * 3
    assert cluster.releases() == {ONE, THREE}


def test_a_champion_without_a_single_pod_holds_up_no_rollback(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    cluster.able[ONE] = 0
    assert target.rollback(ENDPOINT, THIRD).champion == THIRD
    assert behind(cluster) == {THREE: 4}


def test_leftovers_of_a_killed_change_get_no_share(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    target._servers(ENDPOINT).start(THIRD)
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    assert behind(cluster) == {ONE: 4, TWO: 4}


def test_a_cohort_is_asked_within_one_of_its_pods(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    assert target.invoke(ENDPOINT, {"instances": []}, cohort="challenger") == {"ok": True}
    assert target.invoke(ENDPOINT, {"instances": []}) == {"ok": True}
    assert [pod for pod, *_ in cluster.asked] == [f"{ENDPOINT}-{TWO}-0", f"{ENDPOINT}-{ONE}-0"]
    assert cluster.asked[0][1:] == ("POST", "/invocations", '{"X-Headgate-Cache": "off"}', '{"instances": []}')
    for status, fault in ((503, Unavailable), (422, BadInput)):
        cluster.answer = json.dumps({"status": status, "body": "no"})
        with pytest.raises(fault, match=f"pod {ENDPOINT}-{ONE}-0 answered {status}: no"):
            target.invoke(ENDPOINT, {})
    assert [one.errors for one in target.observe(ENDPOINT, 60)] == [3, 3], "who does not answer us has failed calls"


def test_an_endpoint_that_is_not_there_is_named_with_those_that_are(target: KubernetesTarget) -> None:
    target.deploy(ENDPOINT, FIRST)
    with pytest.raises(NotFound, match=rf"no endpoint replies-staging in namespace sales; found: {ENDPOINT}\."):
        target.set_split("replies-staging", Split())

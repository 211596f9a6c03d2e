"""What the Kubernetes target does of a change, by a namespace in memory; the same on a real cluster is in tests/cluster."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from made_up_cluster import MadeUpCluster, accepted

from deployments import cluster_routes, cluster_servers
from deployments.cluster_routes import taken
from deployments.kubernetes import KubernetesTarget, Place
from deployments.manifests.pods import objects
from deployments.manifests.traffic import Gateway, host_of
from deployments.manifests.workload import Replicas, Resources, Workload
from deployments.target import Revision, Split
from headgate.errors import Refused, Stale, Unavailable
from headgate.release.configuration import Configuration

ENDPOINT = "replies-production"
GATEWAY = Gateway(name="public", namespace="infra")
BACK_OFF = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
NOT_MADE = {"reason": "CreateContainerConfigError", "message": "failed to sync configmap cache: timed out waiting for the condition"}
FIRST, SECOND, THIRD = (
    Revision(
        release=number * 64,
        bundle_digest=number * 64,
        bundle=Path(f"bundles/{number}"),
        model="replies",
        configuration=Configuration(),
        image_digest=f"sha256:{number * 64}",
    )
    for number in "123"
)
SHORT = {revision.release: revision.release[:10] for revision in (FIRST, SECOND, THIRD)}
ONE, TWO, THREE = SHORT.values()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUpCluster:
    for module, name in ((cluster_servers, "LOOK_S"), (cluster_servers, "LAST_COPY_S"), (cluster_routes, "LOOK_S")):
        monkeypatch.setattr(module, name, 0.001)
    return MadeUpCluster(tmp_path / "pods")


@pytest.fixture
def target(cluster: MadeUpCluster, tmp_path: Path) -> Iterator[KubernetesTarget]:
    place = Place(namespace="sales", gateway=GATEWAY, url="http://gateway.example", repository="r.example/replies")
    size = (Resources(), Replicas(least=2, most=4))
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"ok": True}))) as http:
        yield KubernetesTarget(place, tmp_path / "home", lambda _: size, ready_s=0.3, _http=http, _clusters={"": cluster})


class Clock:
    """In place of the module `time`, where ten seconds pass between two looks."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        self.now += 10


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(cluster_servers, "time", found)
    return found


def scaled(cluster: MadeUpCluster, release: str, pods: int) -> None:
    """As an autoscaler does it."""
    for one in cluster._of("Deployment", release):
        one["spec"]["replicas"] = pods


def weights(cluster: MadeUpCluster) -> dict[str, int]:
    return {one["name"][-10:]: one["weight"] for one in cluster.objects["HTTPRoute", ENDPOINT]["spec"]["rules"][-1]["backendRefs"]}


def test_a_registry_that_is_away_for_a_while_stops_a_release_but_no_rollback(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    cluster.able[TWO], cluster.faults[TWO] = 0, BACK_OFF
    with pytest.raises(Refused, match="no waiting helps"):
        target.deploy(ENDPOINT, SECOND)
    looks = iter(range(20))
    cluster.at_look = lambda: cluster.able.update({TWO: 0 if next(looks, 99) < 19 else 100})
    assert target.rollback(ENDPOINT, SECOND).champion == SECOND
    assert next(looks, None) is None, "it was waited for"


def test_a_container_that_its_node_cannot_make_at_first_is_waited_for(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    cluster.able[TWO], cluster.faults[TWO] = 0, NOT_MADE
    looks = iter(range(5))
    cluster.at_look = lambda: cluster.able.update({TWO: 0 if next(looks, 99) < 4 else 100})
    assert target.deploy(ENDPOINT, SECOND).challenger == SECOND
    assert next(looks, None) is None, "it was waited for"


def test_a_container_that_its_node_cannot_make_for_long_stops_a_release(
    target: KubernetesTarget, cluster: MadeUpCluster, clock: Clock
) -> None:
    target.deploy(ENDPOINT, FIRST)
    cluster.able[TWO], cluster.faults[TWO] = 0, NOT_MADE
    began = clock.now
    with pytest.raises(Refused, match=r"no waiting helps.*it is removed, nothing else was changed") as refused:
        dataclasses.replace(target, ready_s=600).deploy(ENDPOINT, SECOND)
    assert NOT_MADE["message"] in str(refused.value)
    assert cluster.releases() == {ONE}
    assert 60 <= clock.now - began < 90


def test_a_rollback_does_with_the_fewest_pods_at_once_where_a_node_cannot_make_more(
    target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    scaled(cluster, ONE, 4)
    target.promote(ENDPOINT, SECOND.release)
    cluster.able[ONE], cluster.faults[ONE] = 2, NOT_MADE
    looks = list[int]()
    cluster.at_look = lambda: looks.append(1)
    assert target.rollback(ENDPOINT, FIRST).champion == FIRST
    assert len(looks) < 40, "it was waited for"


def test_time_in_which_the_cluster_does_not_answer_is_none_in_which_a_container_was_not_made(
    target: KubernetesTarget, cluster: MadeUpCluster, clock: Clock
) -> None:
    target.deploy(ENDPOINT, FIRST)
    cluster.able[TWO], cluster.faults[TWO] = 0, NOT_MADE
    begun = clock.now

    def look() -> None:
        if clock.now == begun + 20:
            cluster.away = 1
            clock.now += 100
        if clock.now > begun + 150:
            cluster.able[TWO] = 100

    cluster.at_look = look
    assert dataclasses.replace(target, ready_s=600).deploy(ENDPOINT, SECOND).challenger == SECOND
    assert clock.now > begun + 150


def test_a_repair_waits_too_and_does_not_say_that_it_removed_what_stays(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    cluster.able[ONE], cluster.faults[ONE] = 1, BACK_OFF
    with pytest.raises(Refused) as refused:
        target.deploy(ENDPOINT, FIRST)
    assert "not ready within 0.3 s (1 of 2 pods are ready); it serves as before, and stays." in str(refused.value)
    assert cluster.releases() == {ONE}


def test_a_cluster_that_does_not_answer_for_a_while_is_asked_again(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    def away(manifest: dict[str, Any]) -> None:
        cluster.away = 3 if manifest["kind"] in ("NetworkPolicy", "HTTPRoute") else 0  # the last before each wait

    cluster.after_apply = away
    assert target.deploy(ENDPOINT, FIRST).ready
    cluster.after_apply = lambda _: None
    cluster.away = 1
    with pytest.raises(Unavailable):
        target.set_split(ENDPOINT, Split())


def test_the_new_champion_has_as_many_pods_as_the_old_one_before_it_gets_its_requests(
    target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    scaled(cluster, ONE, 6)
    seen = []
    cluster.before_apply = lambda one: seen.append(cluster.replicas(TWO)) if one["kind"] == "HTTPRoute" else None
    assert target.promote(ENDPOINT, SECOND.release).champion == SECOND
    assert (seen, cluster.floor(TWO)) == ([6], 6), "and its autoscaler, which saw few requests until now, takes none away"
    scaled(cluster, TWO, 5)
    seen.clear()
    cluster.before_apply = lambda one: seen.append(cluster.replicas(ONE)) if one["kind"] == "HTTPRoute" else None
    assert target.rollback(ENDPOINT, FIRST).champion == FIRST
    assert (seen, cluster.floor(ONE)) == ([5], 5)


def test_the_number_of_pods_is_an_autoscalers_after_the_first(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    assert cluster.replicas(ONE) == 2
    scaled(cluster, ONE, 4)
    target.deploy(ENDPOINT, FIRST)
    assert cluster.replicas(ONE) == 4
    assert all("replicas" not in one["spec"] for one in cluster.applied if one["kind"] == "Deployment")


def test_a_champion_keeps_its_pods_while_a_canary_takes_its_requests_until_the_next_release(
    target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    target.deploy(ENDPOINT, FIRST)
    scaled(cluster, ONE, 3)
    target.deploy(ENDPOINT, SECOND)
    assert cluster.floor(ONE) == 2
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    assert (cluster.floor(ONE), cluster.floor(TWO)) == (3, 2)
    target.rollback(ENDPOINT)
    assert cluster.floor(ONE) == 3
    target.deploy(ENDPOINT, THIRD)
    assert cluster.floor(ONE) == 2


def test_where_there_is_no_room_a_promotion_is_refused_and_a_rollback_does_with_the_fewest(
    target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    scaled(cluster, ONE, 6)
    cluster.able[TWO] = 3
    with pytest.raises(Refused, match=r"not ready within 0\.3 s \(3 of 6 pods are ready\); it serves as before, and stays"):
        target.promote(ENDPOINT, SECOND.release)
    assert (weights(cluster), cluster.releases()) == ({ONE: 100, TWO: 0}, {ONE, TWO})
    target.rollback(ENDPOINT)
    assert target.rollback(ENDPOINT, SECOND).champion == SECOND


@pytest.mark.parametrize("no_node", [True, False])
def test_a_rollback_with_the_fewest_pods_does_not_wait_for_those_that_will_not_come(
    no_node: bool, target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    target.deploy(ENDPOINT, FIRST)
    scaled(cluster, ONE, 6)
    cluster.able[TWO], cluster.faults[TWO] = 3, {} if no_node else BACK_OFF
    cluster.no_nodes |= {TWO} if no_node else set()
    assert dataclasses.replace(target, ready_s=250).rollback(ENDPOINT, SECOND).champion == SECOND
    assert cluster.replicas(TWO) == 6


def test_what_a_server_logged_since_the_last_look_is_copied_before_it_is_removed(
    target: KubernetesTarget, cluster: MadeUpCluster, tmp_path: Path
) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    log = tmp_path / "pods" / f"{ENDPOINT}-{ONE}-0" / f"predictions-20261127-{'0' * 26}.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"n": 1}\n')
    cluster.before_apply = lambda one: None if one["kind"] != "HTTPRoute" else log.write_text('{"n": 1}\n{"n": 2}\n') and None
    target.promote(ENDPOINT, SECOND.release)
    assert cluster.releases() == {TWO}
    copied = tmp_path / "home" / "cluster_logs" / ENDPOINT / FIRST.release / log.name
    assert copied.read_text() == '{"n": 1}\n{"n": 2}\n'


def test_logs_are_collected_for_who_ships_them_and_nobody_is_asked(
    target: KubernetesTarget, cluster: MadeUpCluster, tmp_path: Path
) -> None:
    target.deploy(ENDPOINT, FIRST)
    log = tmp_path / "pods" / f"{ENDPOINT}-{ONE}-1" / f"predictions-20261127-{'0' * 26}.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"n": 1}\n')
    target.collect(ENDPOINT, datetime.now(UTC))
    assert (tmp_path / "home" / "cluster_logs" / ENDPOINT / FIRST.release / log.name).read_text() == '{"n": 1}\n'
    assert not (tmp_path / "home" / "cluster_logs" / ENDPOINT / "errors.jsonl").exists()


def test_a_switch_whose_answer_was_lost_and_that_was_sent_again_is_in_force(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)

    def again(manifest: dict[str, Any]) -> None:
        if manifest["kind"] == "HTTPRoute":
            cluster.after_apply = lambda _: None
            cluster.apply(manifest)

    cluster.after_apply = again
    assert target.promote(ENDPOINT, SECOND.release).champion == SECOND
    assert cluster.releases() == {TWO}


def test_a_route_that_was_changed_meanwhile_leaves_no_servers_of_this_change(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    target.deploy(ENDPOINT, FIRST)

    def meanwhile(manifest: dict[str, Any]) -> None:
        if manifest["kind"] == "HTTPRoute":
            cluster.version += 1
            cluster.objects["HTTPRoute", ENDPOINT]["metadata"]["resourceVersion"] = str(cluster.version)

    cluster.before_apply = meanwhile
    with pytest.raises(Stale, match="it was changed meanwhile"):
        target.deploy(ENDPOINT, SECOND)
    assert (cluster.releases(), target.status(ENDPOINT).challenger) == ({ONE}, None)


def rendered(revision: Revision) -> list[dict[str, Any]]:
    """As `headgate render kubernetes` prints it."""
    return objects(
        Workload(
            model="replies",
            environment="production",
            namespace="sales",
            release=revision.release,
            bundle_digest=revision.bundle_digest,
            image=f"r.example/replies@{revision.image_digest}",
        )
    )


def test_objects_that_a_person_applied_as_rendered_are_neither_taken_over_nor_removed(
    target: KubernetesTarget, cluster: MadeUpCluster
) -> None:
    for one in rendered(SECOND):
        cluster.put(one, [{"manager": "kubectl-client-side-apply", "operation": "Update"}, {"manager": "hpa", "operation": "Update"}])
    target.deploy(ENDPOINT, FIRST)
    told = (
        rf"ServiceAccount {ENDPOINT}-{TWO} in namespace sales: expected one that this target made, found one that was applied by hpa, "
        "kubectl-client-side-apply, such as what `headgate render` prints; remove it, or let the target have another namespace"
    )
    with pytest.raises(Refused, match=told):
        target.deploy(ENDPOINT, SECOND)
    target.delete(ENDPOINT)
    assert {kind for kind, name in cluster.objects if name.endswith(TWO)} == {one["kind"] for one in rendered(SECOND)}


def test_an_image_that_is_older_than_the_target_is_told_as_that(target: KubernetesTarget, cluster: MadeUpCluster) -> None:
    cluster.able[ONE], cluster.faults[ONE] = 0, {"reason": "CrashLoopBackOff"}
    cluster.said[ONE] = ["usage: python -m headgate.serving ...", "python: error: unrecognized arguments: --mirror-header X-Request-Id"]
    told = "its image holds a Headgate that does not know --mirror-header X-Request-Id: wrap its classifier again, build the image"
    with pytest.raises(Refused, match=told):
        target.deploy(ENDPOINT, FIRST)


def test_calls_that_a_shadow_fails_are_failed_copies_and_a_canarys_are_its_own(tmp_path: Path, cluster: MadeUpCluster) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503 if request.headers["X-Headgate-Cohort"] == "challenger" else 200, json={"ok": True})

    gateway = GATEWAY.model_copy(update={"hostnames": ("*.example.com", "replies.example.com")})
    place = Place(namespace="sales", gateway=gateway, url="http://gateway.example", repository="r.example/replies")
    http = httpx.Client(transport=httpx.MockTransport(answer))
    target = KubernetesTarget(place, tmp_path, ready_s=0.3, _http=http, _clusters={"": cluster})
    target.deploy(ENDPOINT, FIRST)
    target.deploy(ENDPOINT, SECOND)
    target.set_split(ENDPOINT, Split(shadow=20))
    _, challenger = target.observe(ENDPOINT, 60)
    assert (challenger.errors, target.mirrored(ENDPOINT, 60).errors) == (0, 6)
    target.set_split(ENDPOINT, Split(champion=80, challenger=20))
    champion, challenger = target.observe(ENDPOINT, 60)
    assert (champion.errors, challenger.errors) == (0, 3)
    assert {request.headers["Host"] for request in asked} == {"replies.example.com"}
    assert {request.extensions["timeout"]["read"] for request in asked} == {5.0}, "a look does not wait for a minute and a half"


@pytest.mark.parametrize(
    ("names", "host"), [((), None), (("*.example.com",), "headgate.example.com"), (("*.a.example", "b.example"), "b.example")]
)
def test_a_question_has_a_host_that_the_route_answers_for(names: tuple[str, ...], host: str | None) -> None:
    assert host_of(names) == host


HERE = {"name": "public", "namespace": "infra"}


@pytest.mark.parametrize(
    ("parent", "generation", "changed", "is_taken"),
    [
        (HERE, 3, {}, True),
        (HERE, 2, {}, False),
        (HERE, 3, {"Accepted": "False"}, False),
        (HERE, 3, {"ResolvedRefs": "False"}, False),
        ({"name": "public", "namespace": "other"}, 3, {}, False),
        ({"name": "public"}, 3, {}, False),
        ({"name": "second", "namespace": "infra"}, 3, {}, False),
    ],
)
def test_a_route_is_taken_once_its_own_gateway_accepted_this_generation_of_it(
    parent: dict[str, str], generation: int, changed: dict[str, str], is_taken: bool
) -> None:
    told = accepted(parent, generation, **changed)
    other = accepted({"name": "public", "namespace": "elsewhere"}, 9)
    assert taken({"metadata": {"namespace": "sales"}, "status": {"parents": [other, told]}}, 3, GATEWAY) is is_taken


def test_a_route_whose_parts_were_found_for_an_older_generation_alone_is_not_taken() -> None:
    told = accepted(HERE, 3)
    told["conditions"][1]["observedGeneration"] = 2
    assert not taken({"metadata": {"namespace": "sales"}, "status": {"parents": [told]}}, 3, GATEWAY)


def test_a_gateway_in_the_routes_own_namespace_may_be_named_without_it() -> None:
    route = {"metadata": {"namespace": "infra"}, "status": {"parents": [accepted({"name": "public"}, 3)]}}
    assert taken(route, 3, GATEWAY)

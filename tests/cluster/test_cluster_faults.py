"""What happens to a rollout on a real cluster when parts of it are killed, drained or stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from clients import failures, load, outcome
from kubectl import ENDPOINT, kubectl

from deployments.kubernetes import KubernetesTarget
from deployments.target import Revision, Split
from headgate.errors import Unavailable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
BODY = {"instances": [{"text": "yes please call me thursday"}]}
SERVER_PID = Path("/run/k8snode/apiserver.pid")
DEPLOY = """
import json, sys
from pathlib import Path
from deployments.kubernetes import KubernetesTarget, Place
from deployments.manifests.traffic import Gateway
from deployments.manifests.workload import Replicas, Resources
from deployments.target import Revision
endpoint, home, where, gateway, revision = sys.argv[1:]
place = Place(**json.loads(where), gateway=Gateway.model_validate_json(gateway))
size = (Resources(cpu_m=100, memory_mi=256), Replicas(least=1, most=2))
KubernetesTarget(place=place, home=Path(home), size=lambda _: size).deploy(endpoint, Revision.model_validate_json(revision))
"""
Revisions = dict[str, Revision]


def until(look: Callable[[], bool], otherwise: str, timeout_s: float = 120) -> None:
    deadline = time.monotonic() + timeout_s
    while not look():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)


def pods(namespace: str) -> list[str]:
    return kubectl("get", "pods", "-n", namespace, "-o", "jsonpath={.items[*].metadata.name}").split()


def deployed_to(namespace: str, release: str) -> bool:
    found = kubectl("get", "deployments", "-n", namespace, "-o", "name")
    return f"{ENDPOINT}-{release[:10]}" in found


@contextmanager
def api_server_stopped() -> Iterator[None]:
    """Nobody answers on the API server's port meanwhile: its process stands still."""
    if not SERVER_PID.exists():
        pytest.skip(f"expected the node of ../shared/tools/k8s, found no {SERVER_PID}: the API server of another cluster is not stopped")
    pid = int(SERVER_PID.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_killed_pod_comes_back_and_the_canary_goes_on(target: KubernetesTarget, revisions: Revisions, namespace: str) -> None:
    target.deploy(ENDPOINT, revisions["first"])
    target.deploy(ENDPOINT, revisions["second"])
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    before = target.status(ENDPOINT)
    [lost] = [name for name in pods(namespace) if revisions["second"].release[:10] in name]
    kubectl("delete", "pod", lost, "-n", namespace, "--grace-period=0", "--force")
    until(lambda: lost not in pods(namespace) and target._servers(ENDPOINT).available(revisions["second"]) == 1, "no pod came back")
    assert target.status(ENDPOINT) == before
    assert outcome(target.invoke(ENDPOINT, BODY, cohort="challenger")) == "abstained"


def test_a_challenger_that_went_away_has_failed_calls_and_its_users_are_the_champions_after_a_rollback(
    target: KubernetesTarget, revisions: Revisions, namespace: str, gateway: str
) -> None:
    target.deploy(ENDPOINT, revisions["first"])
    target.deploy(ENDPOINT, revisions["second"])
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    kubectl("scale", "deployment", f"{ENDPOINT}-{revisions['second'].release[:10]}", "-n", namespace, "--replicas=0")
    until(lambda: target._servers(ENDPOINT).available(revisions["second"]) == 0, "the pod did not go")
    _, challenger = target.observe(ENDPOINT, 30)
    assert challenger.errors >= 3
    target.rollback(ENDPOINT)
    with load(gateway, 20) as found:
        time.sleep(2)
    assert failures(found) == []
    assert {one[1] for one in found} == {"scored"}


def test_a_challenger_is_taken_away_at_once_also_while_the_champion_limps(
    target: KubernetesTarget, revisions: Revisions, namespace: str
) -> None:
    first = revisions["first"]
    target.deploy(ENDPOINT, first)
    target.deploy(ENDPOINT, revisions["second"])
    kubectl("scale", "deployment", f"{ENDPOINT}-{first.release[:10]}", "-n", namespace, "--replicas=0")
    until(lambda: target._servers(ENDPOINT).available(first) == 0, "the pod did not go")
    status = target.rollback(ENDPOINT)
    assert (status.champion, status.challenger, status.ready) == (first, None, False)
    kubectl("scale", "deployment", f"{ENDPOINT}-{first.release[:10]}", "-n", namespace, "--replicas=1")
    assert target.deploy(ENDPOINT, first).ready, "the same again waits until it serves"


def test_a_drained_node_and_its_return_leave_the_endpoint_as_it_was(target: KubernetesTarget, revisions: Revisions) -> None:
    target.deploy(ENDPOINT, revisions["first"])
    before = target.status(ENDPOINT)
    [node] = kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()
    kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=120s")
    until(lambda: not target.status(ENDPOINT).ready, "the pods did not leave")
    assert "not scheduled: 0/1 nodes are available: 1 node(s) were unschedulable" in target.status(ENDPOINT).detail
    kubectl("uncordon", node)
    until(lambda: target.status(ENDPOINT) == before, "the endpoint did not come back")
    assert outcome(target.invoke(ENDPOINT, BODY)) == "scored"


def test_an_api_server_that_stands_still_in_mid_rollout_is_waited_for_while_users_are_answered(
    target: KubernetesTarget, make_target: Callable[[], KubernetesTarget], revisions: Revisions, gateway: str, namespace: str
) -> None:
    target.deploy(ENDPOINT, revisions["first"])
    with load(gateway, 20) as found, ThreadPoolExecutor() as pool:
        begun = time.monotonic()
        rollout = pool.submit(target.deploy, ENDPOINT, revisions["second"])
        until(lambda: deployed_to(namespace, revisions["second"].release), "nothing was made")
        with api_server_stopped():
            assert not rollout.done()
            stopped = time.monotonic()
            with pytest.raises(Unavailable, match="the cluster does not answer"):
                make_target().status(ENDPOINT)
            time.sleep(max(0.0, stopped + 30 - time.monotonic()))
        status = rollout.result()
        assert time.monotonic() - begun > 30
        status = target.promote(ENDPOINT, revisions["second"].release)
    assert (status.champion, status.challenger) == (revisions["second"], None)
    assert failures(found) == []
    assert len(found) > 30 * 20 / 2


def test_a_deployment_that_was_killed_is_finished_by_repeating_it_and_removed_by_any_other_change(
    target: KubernetesTarget, revisions: Revisions, namespace: str
) -> None:
    first, second = revisions["first"], revisions["second"]
    target.deploy(ENDPOINT, first)
    for repeat in (True, False):
        _killed_once_it_made_objects(target, second, namespace)
        assert (target.status(ENDPOINT).champion, target.status(ENDPOINT).challenger) == (first, None)
        if repeat:
            assert target.deploy(ENDPOINT, second).challenger == second
        target.rollback(ENDPOINT)
        assert not deployed_to(namespace, second.release)
        assert target.status(ENDPOINT).challenger is None


def _killed_once_it_made_objects(target: KubernetesTarget, revision: Revision, namespace: str) -> None:
    assert target.place.gateway is not None
    where = json.dumps({name: getattr(target.place, name) for name in ("namespace", "url", "repository")})
    arguments = [ENDPOINT, str(target.home), where, target.place.gateway.model_dump_json(), revision.model_dump_json()]
    with subprocess.Popen([sys.executable, "-c", DEPLOY, *arguments]) as process:
        try:
            until(lambda: deployed_to(namespace, revision.release), "nothing was made")
        finally:
            process.kill()

"""The target on a real cluster: kubelet, containerd, registry, and a Gateway that follows the HTTPRoute."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import CLIENTS, failures, load, outcome
from kubectl import ENDPOINT, kubectl

from deployments.kubernetes import KubernetesTarget
from deployments.layout import Layout
from deployments.target import Revision, Split
from headgate.errors import NotFound, Refused, Stale
from stack.render import render_rbac

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
BODY = {"instances": [{"text": "yes please call me thursday"}]}
Revisions = dict[str, Revision]
RATE_PER_S = 40


def names(kind: str, namespace: str) -> list[str]:
    """Names of Headgate's objects of a kind."""
    told = kubectl("get", kind, "-n", namespace, "-l", "app.kubernetes.io/managed-by=headgate", "-o", "name")
    return sorted(line.partition("/")[2] for line in told.split())


def test_the_first_revision_is_the_champion_and_answers_by_its_image(
    target: KubernetesTarget, revisions: Revisions, namespace: str
) -> None:
    first = revisions["first"]
    status = target.deploy(ENDPOINT, first)
    assert (status.champion, status.challenger, status.ready) == (first, None, True)
    assert outcome(target.invoke(ENDPOINT, BODY)) == "scored"
    running = target.running(ENDPOINT, "champion")
    assert (running.release, running.bundle_digest, running.image_digest) == (first.release, first.bundle_digest, first.image_digest)
    assert running.configuration == {"log_text": "hash", "max_cached": 50, "workers": 1}
    assert target.deploy(ENDPOINT, first) == status, "again is the same"
    [pod] = json.loads(kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    assert (pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], pod["spec"]["securityContext"]["runAsUser"]) == (
        True,
        10001,
    )
    assert len(names("hpa,pdb,networkpolicy,service,configmap,serviceaccount,deployment,httproute", namespace)) == 8


@pytest.mark.parametrize("calm_s", [6, pytest.param(120, marks=pytest.mark.slow)])
def test_no_request_fails_through_shadow_canary_promotion_and_rollback(
    calm_s: float, target: KubernetesTarget, revisions: Revisions, gateway: str, namespace: str
) -> None:
    first, second = revisions["first"], revisions["second"]
    target.deploy(ENDPOINT, first)
    with load(gateway, RATE_PER_S) as found:
        target.deploy(ENDPOINT, second)
        assert {one[1] for one in found} == {"scored"}, "a challenger gets nothing until it is given something"
        target.set_split(ENDPOINT, Split(shadow=50))
        time.sleep(calm_s)
        mirrored = target.mirrored(ENDPOINT, calm_s)
        assert {one[1] for one in found} == {"scored"}, "no user sees a shadow's answer"
        target.set_split(ENDPOINT, Split(champion=75, challenger=25))
        begun = len(found)
        time.sleep(2 * calm_s)
        split = [one[1] for one in found[begun:]]
        champion, challenger = target.observe(ENDPOINT, calm_s)
        target.promote(ENDPOINT, second.release)
        promoted = len(found)
        time.sleep(calm_s)
        assert {one[1] for one in found[promoted + CLIENTS :]} == {"abstained"}
        back = target.rollback(ENDPOINT, first)
        returned = len(found)
        time.sleep(calm_s)
        assert {one[1] for one in found[returned + CLIENTS :]} == {"scored"}
    assert failures(found) == []
    assert len(found) > 4 * calm_s * RATE_PER_S
    assert len(mirrored.pairs) > 0.25 * calm_s * RATE_PER_S
    assert {pair.champion.outcome for pair in mirrored.pairs} == {"scored"}
    assert {pair.challenger.outcome for pair in mirrored.pairs} == {"abstained"}
    assert 0.15 < split.count("abstained") / len(split) < 0.35
    assert (champion.errors, challenger.errors) == (0, 0)
    assert 0.5 < (champion.requests + challenger.requests) / (calm_s * RATE_PER_S) < 1.5
    assert (champion.abstained, challenger.abstained) == (0, challenger.requests)
    assert (back.champion, back.challenger, back.previous, back.split) == (first, None, second, Split())
    assert names("deployment", namespace) == [f"{ENDPOINT}-{first.release[:10]}"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("nowhere", "ImagePullBackOff"),
        ("crash", "its server ended with exit code 3 (Error)"),
        ("memory", "its server ended with exit code 137 (OOMKilled"),
    ],
)
def test_a_release_that_cannot_start_is_removed_with_the_reason_told_and_the_champion_never_noticed(
    fault: str, told: str, target: KubernetesTarget, revisions: Revisions, namespace: str, gateway: str
) -> None:
    before = target.deploy(ENDPOINT, revisions["first"])
    with load(gateway, 20) as found, pytest.raises(Refused) as refused:
        target.deploy(ENDPOINT, revisions[fault])
    release = revisions[fault].release
    begun = f"release {release} did not become ready at endpoint {ENDPOINT}: no waiting helps (0 of 1 pods are ready); it is removed"
    assert begun in str(refused.value)
    assert told in str(refused.value)
    assert target.status(ENDPOINT) == before
    assert names("deployment,service,configmap", namespace) == [f"{ENDPOINT}-{revisions['first'].release[:10]}"] * 3
    assert failures(found) == []


def test_what_somebody_else_made_is_neither_changed_nor_removed(target: KubernetesTarget, revisions: Revisions, namespace: str) -> None:
    first, second = revisions["first"], revisions["second"]
    name = f"{ENDPOINT}-{second.release[:10]}"
    kubectl("create", "configmap", name, "-n", namespace, "--from-literal=theirs=1")
    kubectl("create", "configmap", "other", "-n", namespace, "--from-literal=theirs=1")
    before = target.deploy(ENDPOINT, first)
    with pytest.raises(Refused, match=rf"ConfigMap {name} in namespace {namespace}: expected one that Headgate made"):
        target.deploy(ENDPOINT, second)
    assert target.status(ENDPOINT) == before
    target.delete(ENDPOINT)
    assert names("deployment,service,configmap,httproute", namespace) == []
    kubectl("delete", "configmap", name, "other", "-n", namespace)


def test_a_field_that_another_manager_set_stops_the_change(target: KubernetesTarget, revisions: Revisions, namespace: str) -> None:
    first = revisions["first"]
    before = target.deploy(ENDPOINT, first)
    name = f"{ENDPOINT}-{first.release[:10]}"
    patch = json.dumps({"spec": {"progressDeadlineSeconds": 77}})
    kubectl("patch", "deployment", name, "-n", namespace, "--field-manager=somebody", "-p", patch)
    with pytest.raises(Refused, match=r"another field manager set what Headgate would set: .*somebody.*progressDeadlineSeconds"):
        target.deploy(ENDPOINT, first)
    assert target.status(ENDPOINT) == before


def test_a_route_that_was_changed_meanwhile_is_not_overwritten(
    target: KubernetesTarget, make_target: Callable[[], KubernetesTarget], revisions: Revisions
) -> None:
    target.deploy(ENDPOINT, revisions["first"])
    seen = target.cluster.get("gateway.networking.k8s.io/v1", "HTTPRoute", ENDPOINT)
    make_target().deploy(ENDPOINT, revisions["second"])
    layout = Layout(champion=revisions["first"])
    with pytest.raises(Stale, match="it was changed meanwhile"):
        target._routes.switch(target._route_of(ENDPOINT, layout), layout, seen)
    assert target.status(ENDPOINT).challenger == revisions["second"]


@pytest.mark.slow
def test_the_printed_role_is_enough_for_all_that_the_target_does(
    make_target: Callable[[], KubernetesTarget], revisions: Revisions, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", given=render_rbac(namespace, "flows", None))
    _as_account("flows", namespace, tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    target, first, second = make_target(), revisions["first"], revisions["second"]
    with pytest.raises(Refused, match=r"not allowed \(.*forbidden.*\); `headgate render rbac` prints the Role"):
        target.cluster.named("v1", "Secret", {})
    target.deploy(ENDPOINT, first)
    with pytest.raises(Refused, match="its server ended with exit code 3"):
        target.deploy(ENDPOINT, revisions["crash"])
    target.deploy(ENDPOINT, second)
    target.set_split(ENDPOINT, Split(champion=50, challenger=50))
    target.invoke(ENDPOINT, BODY, cohort="challenger")
    assert [one.requests for one in target.observe(ENDPOINT, 30)] == [0, 1]
    assert target.promote(ENDPOINT, second.release).champion == second
    assert target.rollback(ENDPOINT, first).champion == first
    target.delete(ENDPOINT)
    assert names("deployment,service,configmap,httproute,hpa,pdb,networkpolicy,serviceaccount", namespace) == ["flows"], "its own account"


def _as_account(account: str, namespace: str, file: Path) -> None:
    """A kubeconfig that may do what the account may."""
    told = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    try:
        token = kubectl("create", "token", account, "-n", namespace).strip()
    except AssertionError:  # before 1.24 each account has a secret
        secret = kubectl("get", "sa", account, "-n", namespace, "-o", "jsonpath={.secrets[0].name}")
        token = base64.b64decode(kubectl("get", "secret", secret, "-n", namespace, "-o", "jsonpath={.data.token}")).decode()
    told["users"] = [{"name": told["users"][0]["name"], "user": {"token": token}}]
    file.write_text(json.dumps(told))


def test_an_endpoint_that_is_not_there_is_named_with_those_that_are(target: KubernetesTarget, revisions: Revisions) -> None:
    with pytest.raises(NotFound, match=rf"no endpoint {ENDPOINT} in namespace .*; found: none"):
        target.set_split(ENDPOINT, Split())
    assert target.status(ENDPOINT).ready is False

"""Kubernetes objects of a release: valid for every version, within the `restricted` Pod Security Standard, in accord with each other."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import latest_version
from made_up_load import load_report
from pydantic import ValidationError

from deployments.manifests.argo import analysis_template, argo_objects, steps
from deployments.manifests.pods import objects
from deployments.manifests.rbac import rbac
from deployments.manifests.traffic import Gateway, http_route
from deployments.manifests.workload import Apis, Manifest, Replicas, Resources, Workload, measured, replicas_for
from deployments.target import Split
from headgate.release.configuration import Configuration
from headgate.serving.log_files import MAX_FILE_BYTES
from headgate.settings import AutoRollback, Stage, TrafficRouting

NEWEST = int(latest_version().split(".")[1])
IMAGE = f"registry.example/replies@sha256:{'9' * 64}"
GATEWAY = Gateway(name="public", namespace="infra")
OLD = Apis(autoscaling="autoscaling/v2beta2", disruption="policy/v1beta1")


def workload(**changes: Any) -> Workload:
    given = {"model": "replies", "environment": "production", "namespace": "sales", "release": "a" * 64, "bundle_digest": "b" * 64}
    return Workload(**(given | {"image": IMAGE, "commit": "c0ffee"} | changes))


def of_kind(found: list[Manifest], kind: str) -> Manifest:
    [one] = [manifest for manifest in found if manifest["kind"] == kind]
    return one


@pytest.fixture(scope="session")
def crds(shared: Path) -> dict[str, Any]:
    """Strict schemas by kind of the custom resources: a field that a cluster would silently drop is a fault."""
    found = {}
    for file in sorted((shared / "tools" / "k8s" / "crds").glob("*.yaml")):
        spec = yaml.safe_load(file.read_text())["spec"]
        [schema] = [version["schema"]["openAPIV3Schema"] for version in spec["versions"] if version.get("storage")]
        found[spec["names"]["kind"]] = _strict(schema, top=True)
    return found


def _strict(schema: Any, top: bool = False) -> Any:
    schema = copy.deepcopy(schema)
    if top:
        schema["properties"]["metadata"] = {"type": "object"}
    for part in _parts(schema):
        if part.get("properties") and not part.get("x-kubernetes-preserve-unknown-fields"):
            part.setdefault("additionalProperties", False)
    return schema


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from _parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _parts(value)


@pytest.mark.parametrize("minor", range(27, NEWEST + 1))
def test_every_object_is_valid_for_every_version_and_no_field_is_unknown(minor: int) -> None:
    for manifest in [*objects(workload()), *rbac("sales")]:
        kubernetes_validate.validate(manifest, f"1.{minor}", strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    manifest = of_kind(objects(workload()), "Deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_older_clusters_get_the_older_versions_of_the_same_objects() -> None:
    new, old = objects(workload()), objects(workload(), OLD)
    assert of_kind(old, "HorizontalPodAutoscaler")["apiVersion"] == "autoscaling/v2beta2"
    assert of_kind(old, "PodDisruptionBudget")["apiVersion"] == "policy/v1beta1"
    assert [{**one, "apiVersion": ""} for one in old] == [{**one, "apiVersion": ""} for one in new]


def test_pods_are_as_the_restricted_pod_security_standard_wants_them() -> None:
    spec = of_kind(objects(workload()), "Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {kind for volume in spec["volumes"] for kind in volume} == {"name", "emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert all("hostPort" not in port for port in container["ports"])
    assert spec["automountServiceAccountToken"] is False


def test_all_that_selects_pods_selects_those_of_this_release_and_no_others() -> None:
    one, two = workload(), workload(release="d" * 64)
    for mine in (one, two):
        found = objects(mine, Apis(pod_monitor=True))
        labels = of_kind(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
        selectors = [of_kind(found, "Service")["spec"]["selector"], of_kind(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
        selectors += [
            of_kind(found, kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor")
        ]
        assert all(selector.items() <= labels.items() for selector in selectors)
        assert all(not selector.items() <= (two if mine is one else one).labels.items() for selector in selectors)
    assert not {manifest["metadata"]["name"] for manifest in objects(one)} & {manifest["metadata"]["name"] for manifest in objects(two)}


def test_the_server_is_told_by_arguments_what_the_release_says() -> None:
    found = objects(workload(configuration=Configuration(log_text="none", max_cached=5, workers=2)))
    told = of_kind(found, "ConfigMap")["data"]
    [container] = of_kind(found, "Deployment")["spec"]["template"]["spec"]["containers"]
    arguments = [told.get(part[2:-1], part) if part.startswith("$(") else part for part in container["args"]]
    options = {"--model": "replies", "--release": "a" * 64, "--log-text": "none", "--max-cached": "5", "--workers": "2"}
    options |= {"--log-dir": "/var/log/headgate", "--mirror-header": "X-Request-Id"}
    assert dict(zip(arguments[::2], arguments[1::2], strict=True)) == options
    assert container["envFrom"] == [{"configMapRef": {"name": of_kind(found, "ConfigMap")["metadata"]["name"]}}]


def test_a_pod_is_counted_on_once_the_proxies_had_time_to_hear_of_it() -> None:
    assert of_kind(objects(workload(arrive_s=4)), "Deployment")["spec"]["minReadySeconds"] == 4


def test_a_pod_has_time_to_leave_and_to_drain_before_it_is_killed() -> None:
    spec = of_kind(objects(workload(leave_s=7, drain_s=40)), "Deployment")["spec"]["template"]["spec"]
    assert spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1] == "import time; time.sleep(7)"
    assert spec["terminationGracePeriodSeconds"] == 57


@pytest.mark.parametrize("workers", [1, 8])
def test_the_log_bounds_itself_below_the_volumes_size(workers: int) -> None:
    spec = of_kind(objects(workload(configuration=Configuration(workers=workers))), "Deployment")["spec"]["template"]["spec"]
    [volume], [container] = spec["volumes"], spec["containers"]
    [kept] = [int(one["value"]) for one in container["env"] if one["name"] == "HEADGATE_LOG_KEEP_BYTES"]
    answers, corrections = kept + workers * MAX_FILE_BYTES, kept // 4 + workers * MAX_FILE_BYTES
    assert answers + corrections < int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) * 2**20


def test_memory_and_pods_follow_the_load_test() -> None:
    load = load_report()
    most_mb, reached = 181, load.saturation_per_s["candidate"]
    resources = measured(load, workers=2)
    assert resources.cpu_m == 2000
    assert most_mb * 1.5 <= resources.memory_mi * 2**20 / 1e6 <= most_mb * 1.5 + 64 * 2**20 / 1e6
    assert resources.memory_mi % 64 == 0
    assert replicas_for(3 * reached, load) == Replicas(least=5, most=15)
    assert replicas_for(0, load) == Replicas(least=2, most=6)
    assert measured(None) == Resources(cpu_m=1000, memory_mi=1024)


def test_all_faults_of_a_workload_are_told_at_once() -> None:
    with pytest.raises(ValidationError) as fault:
        workload(image="replies:latest", namespace="Sales", release="a 1")
    assert [error["loc"] for error in fault.value.errors()] == [("namespace",), ("release",), ("image",)]
    with pytest.raises(ValidationError, match=r"at most 51 characters together, found 'm{50}-production'"):
        workload(model="m" * 50)


def test_the_route_shares_out_by_weight_and_sends_a_named_cohort_its_own_way(crds: dict[str, Any]) -> None:
    old, new = workload(), workload(release="d" * 64)
    route = http_route(GATEWAY, old, new, Split(champion=90, challenger=10))
    jsonschema.validate(route, crds["HTTPRoute"])
    to_champion, to_challenger, shared = route["spec"]["rules"]
    assert shared["backendRefs"] == [{"name": old.name, "port": 80, "weight": 90}, {"name": new.name, "port": 80, "weight": 10}]
    assert "filters" not in shared
    for rule, cohort, mine in ((to_champion, "champion", old), (to_challenger, "challenger", new)):
        assert rule["matches"] == [{"headers": [{"type": "Exact", "name": "X-Headgate-Cohort", "value": cohort}]}]
        assert rule["backendRefs"] == [{"name": mine.name, "port": 80}]


def test_a_shadow_gets_copies_of_the_champions_requests_and_no_answer_of_it_counts(crds: dict[str, Any]) -> None:
    old, new = workload(), workload(release="d" * 64)
    route = http_route(Gateway(name="public", namespace="infra", hostnames=("replies.example",)), old, new, Split(shadow=25))
    jsonschema.validate(route, crds["HTTPRoute"])
    shared = route["spec"]["rules"][-1]
    assert shared["filters"] == [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": new.name, "port": 80}, "percent": 25}}]
    assert [backend["weight"] for backend in shared["backendRefs"]] == [100, 0]
    assert route["spec"]["hostnames"] == ["replies.example"]


def test_argo_gets_the_stages_shares_times_and_limits(crds: dict[str, Any]) -> None:
    stage = Stage(
        environment="production",
        traffic_routing=TrafficRouting(type="LINEAR", linear_step_size_percent=50, wait_interval_s=120),
        bake_time_s=600,
        auto_rollback=AutoRollback(max_p95_ratio=1.3, failure_limit=2),
    )
    found = argo_objects(workload(), stage, GATEWAY, "http://prometheus.monitoring:9090")
    for manifest in found:
        kind = manifest["kind"]
        jsonschema.validate(manifest, crds[kind]) if kind in crds else kubernetes_validate.validate(manifest, "1.30", strict=True)
    assert steps(stage) == [{"setWeight": 50}, {"pause": {"duration": "720s"}}]
    metrics = {metric["name"]: metric for metric in of_kind(found, "AnalysisTemplate")["spec"]["metrics"]}
    assert metrics["p95-ratio"]["successCondition"] == "len(result) == 0 || isNaN(result[0]) || result[0] <= 1.3"
    assert {metric["failureLimit"] for metric in metrics.values()} == {2}
    assert len(metrics) == len([name for name in AutoRollback.model_fields if name.startswith("max_")]) - len(NOT_A_METRIC)


NOT_A_METRIC = {"max_false_rollback_rate", "max_duration_s", "max_correction_rate_increase"}  # Argo's looks are no test; no counter yet


def test_every_limit_of_the_policy_reaches_argo_or_is_known_not_to() -> None:
    stage = Stage(environment="production")
    names = {metric["name"] for metric in analysis_template(workload(), stage.auto_rollback, "http://p:9090")["spec"]["metrics"]}
    wanted = {name.removeprefix("max_").replace("_", "-") for name in AutoRollback.model_fields if name.startswith("max_")}
    assert {name.removeprefix("max_").replace("_", "-") for name in NOT_A_METRIC} == wanted - names


def test_the_role_has_a_rule_for_each_kind_that_is_made_and_none_for_the_cluster() -> None:
    account, role, binding = rbac("sales")
    assert {one["kind"] for one in (account, role, binding)} == {"ServiceAccount", "Role", "RoleBinding"}
    allowed = {resource for rule in role["rules"] for resource in rule["resources"] if "create" in rule["verbs"]}
    made = [*objects(workload(), Apis(pod_monitor=True)), http_route(GATEWAY, workload())]
    plural = {"NetworkPolicy": "networkpolicies"}
    assert allowed == {plural.get(one["kind"], one["kind"].lower() + "s") for one in made} | {"pods/exec"}
    assert not {"secrets", "namespaces", "nodes", "*"} & {resource for rule in role["rules"] for resource in rule["resources"]}
    role_elsewhere, binding_elsewhere = rbac("sales", "flows", "headgate")
    assert binding_elsewhere["subjects"] == [{"kind": "ServiceAccount", "name": "flows", "namespace": "headgate"}]
    assert role_elsewhere == role


def test_a_candidate_gets_names_of_its_own_though_its_name_is_no_digest() -> None:
    one, other = workload(release="candidate-0123456789abcdef"), workload(release="candidate-0123456789abcdee")
    assert one.name != other.name
    assert one.annotations["headgate.io/release"] == "candidate-0123456789abcdef"
    assert re.fullmatch(r"[0-9a-f]{10}", one.selector["headgate.io/release"])

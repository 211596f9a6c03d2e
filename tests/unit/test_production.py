"""The flows on Kubernetes: the Jobs that the worker makes of the pools' templates, the objects of the installation, the plan."""

import asyncio
import copy
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate.utils import latest_version
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration
from typer.testing import CliRunner

from deployments.production import installation, pools
from deployments.production.__main__ import app
from deployments.production.installation import Installation
from deployments.production.plan import on_cluster
from headgate.errors import BadInput
from headgate.model.serving_lock import parse

CHECKOUT = Path(__file__).parents[2]
PRODUCTION = CHECKOUT / "deployments" / "production"
PLAN = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
VERSIONS = [f"1.{minor}" for minor in range(27, int(latest_version().split(".")[1]) + 1)]
IMAGE = f"registry.example/headgate-flows@sha256:{'9' * 64}"
INSTALLATION = installation.objects(Installation(image=IMAGE))
RUN = FlowRun(id=UUID(int=7), flow_id=UUID(int=8), name="wise-otter")


def job(gpu: bool = False, **variables: Any) -> dict[str, Any]:
    """The Job that the worker submits for a run."""

    async def prepared() -> KubernetesWorkerJobConfiguration:
        with temporary_settings({PREFECT_API_URL: "http://headgate-prefect:4200/api"}):
            given = {"image": IMAGE, **variables}
            template = json.loads(pools.file(gpu).read_text())
            found = await KubernetesWorkerJobConfiguration.from_template_and_values(template, given, client=get_client())
            found.prepare_for_flow_run(RUN)
            return found

    return asyncio.run(prepared()).job_manifest


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"])


def the(kind: str, name: str) -> dict[str, Any]:
    [found] = [one for one in INSTALLATION if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def beyond_restricted(pod: dict[str, Any]) -> list[str]:
    """What the `restricted` Pod Security Standard of Kubernetes 1.37 would refuse in a pod."""
    security, [container] = pod.get("securityContext", {}), pod["containers"]
    own = container.get("securityContext", {})
    volumes = {kind for volume in pod["volumes"] for kind in volume} - {"name", "configMap", "emptyDir", "persistentVolumeClaim"}
    broken = {
        "root": security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0,
        "seccomp": security.get("seccompProfile") != {"type": "RuntimeDefault"},
        "escalation": own.get("allowPrivilegeEscalation") is not False or own.get("privileged", False),
        "capabilities": own.get("capabilities") != {"drop": ["ALL"]},
        "host": bool({"hostNetwork", "hostPID", "hostIPC"} & pod.keys()) or any("hostPort" in port for port in container.get("ports", ())),
        "volumes": bool(volumes),
    }
    return [name for name, found in broken.items() if found]


@pytest.mark.parametrize("gpu", [False, True])
def test_the_committed_template_is_what_is_made(gpu: bool) -> None:
    assert pools.file(gpu).read_text() == pools.text(gpu)


@pytest.mark.parametrize("gpu", [False, True])
def test_a_deployment_can_set_all_that_the_worker_itself_knows_but_retries_by_kubernetes_and_another_cluster(gpu: bool) -> None:
    published = KubernetesWorker.get_default_base_job_template()["variables"]["properties"].keys()
    added = pools.ADDED | (pools.ADDED_FOR_GPU if gpu else set())
    assert pools.pool(gpu)["variables"]["properties"].keys() == (published - {"backoff_limit", "cluster_config"}) | added


@pytest.mark.parametrize("gpu", [False, True])
def test_every_variable_has_a_use(gpu: bool) -> None:
    template = pools.pool(gpu)
    used = json.dumps(template["job_configuration"])
    assert [name for name in template["variables"]["properties"] if "{{ " + name + " }}" not in used] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("gpu", [False, True])
def test_every_version_of_kubernetes_knows_every_field_of_a_job(gpu: bool, version: str) -> None:
    found = job(gpu, cpu_limit="8", tolerations=[{"key": "spot", "operator": "Exists"}], node_selector={"disk": "fast"})
    for name in ("parallelism", "completions"):  # the worker insists on them in the pod's spec, where Kubernetes drops them
        del found["spec"]["template"]["spec"][name]
    kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_kubernetes_knows_every_field_of_the_installation(version: str) -> None:
    for manifest in installation.objects(Installation(image=IMAGE, storage_class="nfs", account_annotations={"a/b": "c"})):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="parallelism"):
        kubernetes_validate.validate(job(), "1.30", strict=True)


PODS = {"job": pod_of(job()), "gpu": pod_of(job(gpu=True))} | {
    one["metadata"]["name"]: pod_of(one) for one in INSTALLATION if one["kind"] == "Deployment"
}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_every_pod_is_as_the_restricted_pod_security_standard_wants_it_and_can_write_volumes_alone(pod: dict[str, Any]) -> None:
    assert beyond_restricted(pod) == []
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
    assert pod["enableServiceLinks"] is False


def test_a_pod_that_the_standard_refuses_would_be_found() -> None:
    default = {"containers": [{"name": "prefect-job"}], "volumes": [{"name": "docker", "hostPath": {"path": "/"}}], "hostNetwork": True}
    assert beyond_restricted(default) == ["root", "seccomp", "escalation", "capabilities", "host", "volumes"]


def test_kubernetes_starts_no_job_again_so_that_a_lost_run_is_handed_back() -> None:
    for gpu in (False, True):
        found = job(gpu)
        assert (found["spec"]["backoffLimit"], pod_of(found)["restartPolicy"]) == (0, "Never")
        [container] = pod_of(found)["containers"]
        assert {"name": "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "value": "reschedule"} in container["env"]


def test_a_job_finds_its_settings_its_home_and_its_secrets_without_naming_one() -> None:
    [container] = pod_of(job())["containers"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/etc/headgate", "/var/lib/headgate", "/tmp"}
    assert container["envFrom"] == [
        {"configMapRef": {"name": "headgate-flows"}},
        {"secretRef": {"name": "headgate-flows", "optional": True}},
    ]
    dockerfile = (PRODUCTION / "flows.Dockerfile").read_text()
    assert "HEADGATE_TOML=/etc/headgate/headgate.toml HEADGATE_HOME=/var/lib/headgate" in dockerfile
    claim = {"name": "home", "persistentVolumeClaim": {"claimName": the("PersistentVolumeClaim", "headgate-home")["metadata"]["name"]}}
    assert claim in pod_of(job())["volumes"]
    assert pod_of(job())["serviceAccountName"] == the("ServiceAccount", "headgate-flows")["metadata"]["name"]


def test_that_an_endpoint_is_held_outlives_the_pod_of_the_server_and_the_lock_on_it_does_not() -> None:
    server = pod_of(the("Deployment", "headgate-prefect"))
    told = {one["name"]: one.get("value") for one in server["containers"][0]["env"]}
    assert told["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"] == "prefect.server.concurrency.lease_storage.filesystem"
    assert told["PREFECT_HOME"] == "/var/lib/headgate/prefect-server"
    assert server["containers"][0]["args"] == [
        "sh",
        "-c",
        "rm -f /var/lib/headgate/prefect-server/concurrency_leases/expirations.lock; exec prefect server start --host 0.0.0.0 --port 4200",
    ]
    assert {"name": "home", "mountPath": "/var/lib/headgate"} in server["containers"][0]["volumeMounts"]
    assert {"name": "home", "persistentVolumeClaim": {"claimName": "headgate-home"}} in server["volumes"]


@pytest.mark.parametrize("name", ["headgate-shipping", "headgate-pages"])
def test_what_ships_logs_and_what_shows_pages_has_the_settings_the_home_and_the_identity_of_the_flows(name: str) -> None:
    ships, flow = pod_of(the("Deployment", name)), pod_of(job())
    assert ships["serviceAccountName"] == flow["serviceAccountName"]
    assert ships["containers"][0]["envFrom"] == flow["containers"][0]["envFrom"]
    assert {volume["name"]: volume for volume in ships["volumes"]}.keys() == {volume["name"] for volume in flow["volumes"]}
    assert [volume for volume in flow["volumes"] if volume["name"] != "tmp"] == ships["volumes"][1:]


def test_the_pages_which_ask_nobody_who_they_are_can_change_neither_the_cluster_nor_the_home() -> None:
    pages, ships = (pod_of(the("Deployment", f"headgate-{name}")) for name in ("pages", "shipping"))
    assert pages["automountServiceAccountToken"] is False
    assert "automountServiceAccountToken" not in ships
    changeable = [
        {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")} for pod in (pages, ships)
    ]
    assert changeable == [{"/tmp"}, {"/tmp", "/var/lib/headgate"}]


def test_the_pages_are_found_at_the_address_of_their_service() -> None:
    [container] = pod_of(the("Deployment", "headgate-pages"))["containers"]
    [port] = the("Service", "headgate-pages")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (4300, "http")
    assert container["ports"] == [{"name": "http", "protocol": "TCP", "containerPort": 4300}]
    assert container["args"] == ["python", "-m", "stack.gateway", "--host", "0.0.0.0", "--port", "4300"]
    assert (
        the("Service", "headgate-pages")["spec"]["selector"].items()
        <= the("Deployment", "headgate-pages")["spec"]["template"]["metadata"]["labels"].items()
    )


def test_training_asks_for_a_gpu_on_a_node_that_has_one_with_memory_that_its_processes_share() -> None:
    pod = pod_of(job(gpu=True, gpus=2, shared_memory="8Gi"))
    [container] = pod["containers"]
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": 2}
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in pod["volumes"]
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in container["volumeMounts"]


def test_an_ordinary_job_asks_for_no_gpu_and_no_particular_node() -> None:
    pod = pod_of(job())
    assert "nvidia" not in json.dumps(pod)
    assert (pod["nodeSelector"], pod["tolerations"]) == ({}, [])


def test_the_password_of_the_server_is_only_named() -> None:
    worker = pod_of(the("Deployment", "headgate-worker-headgate-cluster"))["containers"][0]
    told = {one["name"]: one.get("value") for one in worker["env"]}
    assert told["PREFECT_API_AUTH_STRING"] is None, "it comes from the Secret"
    assert told["PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME"] == "headgate-prefect"
    assert "Secret" not in {one["kind"] for one in INSTALLATION}


def test_the_worker_may_make_jobs_in_its_namespace_and_nothing_beyond() -> None:
    assert {one["kind"] for one in INSTALLATION} & {"ClusterRole", "ClusterRoleBinding"} == set()
    rights = {
        (resource, verb) for rule in the("Role", "headgate-worker")["rules"] for resource in rule["resources"] for verb in rule["verbs"]
    }
    assert {resource for resource, _ in rights} == {"jobs", "pods", "pods/log"}
    assert {(resource, verb) for resource, verb in rights if verb not in ("get", "list", "watch")} == {
        ("jobs", "create"),
        ("jobs", "delete"),
    }
    [subject] = the("RoleBinding", "headgate-worker")["subjects"]
    assert (subject["name"], subject["namespace"]) == ("headgate-worker", "headgate")


def test_every_pool_of_the_plan_has_a_worker() -> None:
    named = {one["work_pool"]["name"] for one in on_cluster(PLAN)["deployments"]}
    assert named == set(Installation(image=IMAGE).pools)


def test_the_plan_of_the_cluster_is_that_of_the_local_stack_but_for_where_flows_run() -> None:
    moved = on_cluster(PLAN)
    assert [one["work_pool"]["name"] for one in moved["deployments"] if "train_candidate" in one["entrypoint"]] == ["headgate-gpu"]
    for before, after in zip(copy.deepcopy(PLAN["deployments"]), moved["deployments"], strict=True):
        assert before.pop("work_pool")["name"] == "headgate"
        after.pop("work_pool")
        assert after == before
    assert {name: moved[name] for name in ("name", "prefect-version", "pull")} == {
        name: PLAN[name] for name in ("name", "prefect-version", "pull")
    }


def test_a_flow_that_does_not_exist_cannot_run_on_gpus() -> None:
    with pytest.raises(BadInput, match=r"^expected flows of prefect\.yaml \(.*train_candidate.*\), found train_candidates$"):
        on_cluster(PLAN, ("train_candidates",))


def test_the_command_prints_a_plan_without_gpus_for_another_namespace() -> None:
    done = CliRunner().invoke(app, ["plan", "--no-gpu", "--namespace", "mlops", "--file", str(CHECKOUT / "prefect.yaml")])
    assert done.exit_code == 0, done.output
    found = yaml.safe_load(done.stdout)["deployments"]
    assert {one["work_pool"]["name"] for one in found} == {"headgate-cluster"}
    assert {one["work_pool"]["job_variables"]["namespace"] for one in found} == {"mlops"}


def test_the_command_prints_the_installation() -> None:
    done = CliRunner().invoke(app, ["installation", "--image", IMAGE])
    assert done.exit_code == 0, done.output
    assert list(yaml.safe_load_all(done.stdout)) == INSTALLATION


def test_the_command_names_everything_that_is_wrong() -> None:
    done = CliRunner().invoke(app, ["installation", "--image", "UPPER", "--namespace", "Head gate", "--home-size", "lots"])
    assert done.exit_code == 2
    assert all(name in done.stderr for name in ("image:", "namespace:", "home_size:"))


def test_the_image_holds_the_versions_and_hashes_of_the_lock() -> None:
    ours, whole = (parse(file.read_text()) for file in (PRODUCTION / "requirements.txt", CHECKOUT / "requirements" / "lock.txt"))
    assert ours.pop("setuptools").hashes, "torch asks for it, and the lock leaves it to the environment"
    assert {name: (one.version, one.hashes) for name, one in ours.items()} == {
        name: (one.version, one.hashes) for name, one in whole.items() if name in ours
    }
    assert ours.keys() >= {"prefect", "prefect-kubernetes", "kubernetes", "kubernetes-asyncio", "mlflow", "deltalake", "hatchling"}
    assert not ours.keys() & {"ruff", "mypy", "torch"}


def test_nothing_but_what_flows_run_from_gets_into_the_image() -> None:
    first, *allowed = [line for line in (PRODUCTION / "flows.Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert first == "*"
    taken = {line[1:] for line in allowed if line.startswith("!")}
    assert all((CHECKOUT / name).exists() for name in taken)
    assert taken >= {"data_checks", "deployments", "flows", "headgate", "stack", "tasks", "pyproject.toml"}
    assert not taken & {"headgate.toml", ".git", ".headgate", "tests"}

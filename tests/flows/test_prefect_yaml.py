"""prefect.yaml says where and when; these tests hold it to what the flows and the worker of each pool are.

There is no cluster here: the GPU example is deployed to a real Prefect server, turned into a Job by the real Kubernetes worker's
code, and read by the Kubernetes client's own types.
"""

import asyncio
import copy
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import yaml
from kubernetes_asyncio.client import ApiClient
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_URL
from prefect_kubernetes.worker import KubernetesWorker, KubernetesWorkerJobConfiguration

CHECKOUT = Path(__file__).parents[2]
PLAN = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
TEMPLATE = json.loads((CHECKOUT / "flows" / "kubernetes-gpu-pool.json").read_text())
ADDED = {"gpus", "node_selector", "tolerations", "home_claim"}


def _flow(entrypoint: str) -> Flow:
    module, _, name = entrypoint.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("plan", PLAN["deployments"], ids=lambda plan: f"{plan['entrypoint']}/{plan['name']}")
def test_every_entrypoint_is_a_flow_named_like_its_function(plan):
    found = _flow(plan["entrypoint"])
    assert isinstance(found, Flow)
    assert found.name == plan["entrypoint"].rpartition(".")[2]


@pytest.mark.parametrize("plan", PLAN["deployments"], ids=lambda plan: f"{plan['entrypoint']}/{plan['name']}")
def test_every_parameter_is_described_in_the_form(plan):
    for name, schema in _flow(plan["entrypoint"]).parameters.properties.items():
        assert schema.get("description"), f"{plan['entrypoint']}: parameter {name} has no description"


def test_the_flows_of_the_first_release_are_all_there():
    names = {plan["entrypoint"].rpartition(".")[2] for plan in PLAN["deployments"]}
    first = {"ingest_annotations", "train_candidate", "release_candidate", "rollback_release", "regression_test", "sanity_check"}
    assert names >= first | {"watch_production"}


def test_the_regression_test_has_a_schedule():
    (plan,) = [plan for plan in PLAN["deployments"] if plan["entrypoint"].endswith("regression_test")]
    assert [schedule["cron"] for schedule in plan["schedules"]] == ["0 6 * * *"]


TRIGGERS = [(plan, trigger) for plan in PLAN["deployments"] for trigger in plan.get("triggers", ())]


def test_each_event_has_one_automation_since_two_of_them_block_a_server_on_sqlite():
    events = [event for _, trigger in TRIGGERS for event in trigger["expect"]]
    assert sorted(events) == ["headgate.dataset.updated", "headgate.landing.arrived", "headgate.monitoring.alarm"]


@pytest.mark.parametrize(("plan", "trigger"), TRIGGERS, ids=lambda value: value.get("entrypoint", "trigger"))
def test_a_run_that_an_event_starts_begins_after_the_events_that_it_swallows(plan, trigger):
    assert trigger["schedule_after"] > trigger["within"] > 0
    assert trigger["for_each"] == ["prefect.resource.id"], "another data set's event is not swallowed"
    others = [one for one in PLAN["deployments"] if one["entrypoint"] == plan["entrypoint"] and one.get("schedules")]
    assert [one["schedules"][0]["cron"] for one in others], "what no event told of is found"


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeploymentResponse]:
    """train_candidate as `prefect deploy --all` makes it on a real server, after the one line of the example is changed."""
    before, after = (CHECKOUT / "prefect.yaml").read_text().split("entrypoint: flows.train.train_candidate")
    file = tmp_path_factory.mktemp("deploy") / "prefect.yaml"
    file.write_text(f"{before}entrypoint: flows.train.train_candidate{after.replace('work_pool: *local', 'work_pool: *gpu', 1)}")
    variables = {"HEADGATE_CHECKOUT": str(CHECKOUT), "HEADGATE_FLOWS_IMAGE": "registry.example/headgate-flows:c0ffee"}
    with get_client(sync_client=True) as api:
        api.create_work_pool(WorkPoolCreate(name="headgate", type="process"))
        api.create_work_pool(WorkPoolCreate(name="headgate-gpu", type="kubernetes", base_job_template=TEMPLATE))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        env = os.environ | variables | {"PREFECT_API_URL": PREFECT_API_URL.value()}
        done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=CHECKOUT)
        assert done.returncode == 0, done.stdout + done.stderr
        ours = {plan["name"] for plan in PLAN["deployments"]}  # other tests have deployments of their own
        deployments = [one for one in api.read_deployments() if one.name in ours]
        assert {one.work_pool_name for one in deployments} == {"headgate", "headgate-gpu"}
        assert len(deployments) == len(PLAN["deployments"])
        yield api.read_deployment_by_name("train_candidate/default")
        for one in deployments:
            api.delete_deployment(one.id)
        for name in ("headgate", "headgate-gpu"):
            api.delete_work_pool(name)


@pytest.fixture(scope="module")
def job(on_gpu: DeploymentResponse) -> dict[str, Any]:
    """The Job that the Kubernetes worker would submit for a run of it."""

    async def prepared() -> KubernetesWorkerJobConfiguration:
        async with get_client() as api:
            pool = await api.read_work_pool("headgate-gpu")
            found = await KubernetesWorkerJobConfiguration.from_template_and_values(
                pool.base_job_template, on_gpu.job_variables, client=api
            )
        found.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=on_gpu.flow_id, name="train"), on_gpu)
        return found

    return asyncio.run(prepared()).job_manifest


def test_the_gpu_example_is_deployed_to_its_pool_by_changing_one_line(on_gpu: DeploymentResponse) -> None:
    assert on_gpu.work_pool_name == "headgate-gpu"
    assert on_gpu.job_variables["image"] == "registry.example/headgate-flows:c0ffee"
    assert on_gpu.job_variables["gpus"] == 1


def test_every_job_variable_of_the_gpu_example_is_one_of_the_template() -> None:
    given = PLAN["definitions"]["gpu"]["job_variables"].keys()
    assert given <= TEMPLATE["variables"]["properties"].keys()
    assert given >= ADDED


def test_the_template_is_that_of_the_installed_worker_with_our_variables_added() -> None:
    published, ours = KubernetesWorker.get_default_base_job_template(), copy.deepcopy(TEMPLATE)
    assert {name: ours["variables"]["properties"].pop(name) for name in ADDED}
    assert ours["variables"].pop("required") == ["image", "home_claim"]
    assert ours["variables"] == published["variables"]
    pod = ours["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    for name in ("nodeSelector", "tolerations", "volumes"):
        del pod[name]
    del container["volumeMounts"], container["resources"]["limits"]["nvidia.com/gpu"]
    assert ours == published


def test_the_job_asks_for_a_gpu_on_a_node_that_has_one(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"] == {
        "limits": {"memory": "16Gi", "nvidia.com/gpu": 1},
        "requests": {"cpu": "4", "memory": "16Gi"},
    }
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert (job["metadata"]["namespace"], pod["serviceAccountName"], container["image"]) == (
        "headgate",
        "headgate-flows",
        "registry.example/headgate-flows:c0ffee",
    )


def test_checkpoints_outlive_the_pod_of_the_job(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["volumes"] == [{"name": "home", "persistentVolumeClaim": {"claimName": "headgate-home"}}]
    assert container["volumeMounts"] == [{"name": "home", "mountPath": "/var/lib/headgate"}]
    assert {"name": "HEADGATE_HOME", "value": "/var/lib/headgate"} in container["env"]


def test_kubernetes_knows_every_field_of_the_job(job: dict[str, Any]) -> None:
    expected = copy.deepcopy(job)
    for name in ("parallelism", "completions"):  # the worker insists on them in the pod's spec, where Kubernetes ignores them
        del expected["spec"]["template"]["spec"][name]
    limits = expected["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    limits["nvidia.com/gpu"] = str(limits["nvidia.com/gpu"])  # a Quantity: 1 and "1" are the same

    async def read_back() -> Any:
        async with ApiClient() as api:
            return api.sanitize_for_serialization(api.deserialize(SimpleNamespace(data=json.dumps(job)), "V1Job"))

    assert asyncio.run(read_back()) == json.loads(json.dumps(expected))

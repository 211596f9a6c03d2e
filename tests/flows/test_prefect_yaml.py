"""prefect.yaml says where and when; these tests hold it to what the flows and the worker of each pool are.

There is no cluster here: the plan of the cluster is deployed to a real Prefect server, turned into a Job by the real Kubernetes worker's
code, and read by the Kubernetes client's own types. docs/production.md tells what ran on one.
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
from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

from deployments.production import pools
from deployments.production.plan import on_cluster

CHECKOUT = Path(__file__).parents[2]
PLAN = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text())
POOLS = {"headgate-cluster": pools.file(gpu=False), "headgate-gpu": pools.file(gpu=True)}


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
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, DeploymentResponse]]:
    """All of prefect.yaml as `prefect deploy --all` makes it on a real server from the plan of the cluster, by flow and name."""
    file = tmp_path_factory.mktemp("deploy") / "prefect.yaml"
    file.write_text(yaml.safe_dump(on_cluster(PLAN)))
    with get_client(sync_client=True) as api:
        for name, template in POOLS.items():
            api.create_work_pool(WorkPoolCreate(name=name, type="kubernetes", base_job_template=json.loads(template.read_text())))
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        env = os.environ | {"HEADGATE_FLOWS_IMAGE": "registry.example/headgate-flows:c0ffee", "PREFECT_API_URL": PREFECT_API_URL.value()}
        done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=CHECKOUT)
        assert done.returncode == 0, done.stdout + done.stderr
        found = [one for one in api.read_deployments() if one.work_pool_name in POOLS]  # other tests have deployments of their own
        yield {f"{api.read_flow(one.flow_id).name}/{one.name}": one for one in found}
        for one in found:
            api.delete_deployment(one.id)
        for name in POOLS:
            api.delete_work_pool(name)


@pytest.fixture(scope="module")
def job(deployed: dict[str, DeploymentResponse]) -> dict[str, Any]:
    """The Job that the Kubernetes worker would submit for a training."""
    train = deployed["train_candidate/default"]

    async def prepared() -> KubernetesWorkerJobConfiguration:
        async with get_client() as api:
            pool = await api.read_work_pool("headgate-gpu")
            found = await KubernetesWorkerJobConfiguration.from_template_and_values(pool.base_job_template, train.job_variables, client=api)
        found.prepare_for_flow_run(FlowRun(id=uuid4(), flow_id=train.flow_id, name="train"), train)
        return found

    return asyncio.run(prepared()).job_manifest


def test_every_flow_is_deployed_to_the_pools_of_the_cluster(deployed: dict[str, DeploymentResponse]) -> None:
    assert deployed.keys() == {f"{plan['entrypoint'].rpartition('.')[2]}/{plan['name']}" for plan in PLAN["deployments"]}
    assert [name for name, one in deployed.items() if one.work_pool_name == "headgate-gpu"] == ["train_candidate/default"]
    assert {one.job_variables["image"] for one in deployed.values()} == {"registry.example/headgate-flows:c0ffee"}


def test_a_training_on_the_cluster_has_the_deployments_image_and_gpu_and_all_else_from_the_pool(job: dict[str, Any]) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["resources"]["limits"]) == (
        "registry.example/headgate-flows:c0ffee",
        {"memory": "16Gi", "nvidia.com/gpu": 1},
    )
    assert (job["metadata"]["namespace"], pod["serviceAccountName"]) == ("headgate", "headgate-flows")
    assert {"name": "home", "persistentVolumeClaim": {"claimName": "headgate-home"}} in pod["volumes"], "checkpoints outlive the pod"


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

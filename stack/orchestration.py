"""Prefect from the outside: deploy the flows, start runs, answer a waiting one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.states import AwaitingRetry

from headgate.errors import BadInput, Unavailable
from headgate.release.record import Release

POOL = "headgate"


def client() -> SyncPrefectClient:
    """A client of the stack's Prefect server."""
    return get_client(sync_client=True)


def deploy_flows(checkout: Path) -> None:
    """Create the work pool and everything in prefect.yaml; repeating is harmless."""
    with client() as api, suppress(ObjectAlreadyExists):
        api.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    done = subprocess.run(command, env=os.environ | {"HEADGATE_CHECKOUT": str(checkout)}, capture_output=True, text=True, cwd=checkout)
    if done.returncode:
        raise Unavailable(f"prefect deploy --all failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def set_schedule(flow: str, active: bool) -> None:
    """Switch the schedules of a deployed flow on or off; repeating is harmless."""
    with client() as api:
        deployment = api.read_deployment_by_name(f"{flow}/default")
        for schedule in api.read_deployment_schedules(deployment.id):
            api.update_deployment_schedule(deployment.id, schedule.id, active=active)


def start_run(flow: str, parameters: Mapping[str, Any], idempotency_key: str | None = None) -> UUID:
    """Start a run of a deployed flow, or find the one that the same key started; a failed or crashed one starts again."""
    started = run_deployment(f"{flow}/default", parameters=dict(parameters), timeout=0, as_subflow=False, idempotency_key=idempotency_key)
    run = cast(FlowRun, started)
    if run.state and run.state.is_final() and not run.state.is_completed():
        with client() as api:
            api.set_flow_run_state(run.id, AwaitingRetry(message="started again by a person"), force=True)
    return run.id


def gate_run(release: Release) -> FlowRun | None:
    """The run that asks for this release's approval and rolls it out."""
    with client() as api:
        found = api.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["release_candidate"])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["default"])),
            flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[release.evidence_digest])),
        )
    return found[0] if found else None


def next_start(flow: str, deployment: str) -> datetime | None:
    """When a scheduled run of a flow begins next, in UTC."""
    with client() as api:
        found = api.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[deployment])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=1,
        )
    return found[0].expected_start_time.astimezone(UTC) if found and found[0].expected_start_time else None


def open_trainings(model: str) -> list[FlowRun]:
    """The runs that train a model now or are about to, oldest first; tests of an old release are none."""
    open_types = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    with client() as api:
        found = api.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["train_candidate"])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=["default"])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=open_types))),
            sort=FlowRunSort.START_TIME_ASC,
        )
    return [run for run in found if run.parameters.get("model") == model and not run.parameters.get("retest")]


def answer(run: FlowRun, decision: str, approver: str, reason: str) -> None:
    """Fill in the form of a suspended run; BadInput says why Prefect refused it."""
    form = {"decision": decision, "approver": approver, "reason": reason}
    with client() as api:
        result = api.resume_flow_run(run.id, run_input=form)
    if result.status != SetStateStatus.ACCEPT:
        reason = getattr(result.details, "reason", None) or str(result.details)
        raise BadInput(f"flow run {run.name}: expected it to wait for this answer, Prefect refused: {reason}")

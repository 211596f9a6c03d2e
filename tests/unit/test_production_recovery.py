"""Runs whose Kubernetes Job is gone: which are started again, when, and how often."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from kubernetes import client as kube
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import OrchestrationResult

from headgate.release.training_ledger import MOST_STARTS
from stack.recovery_of_jobs import LABEL, NEVER_BEGAN, due, recover, unfinished

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(kind: StateType, starts: int = 1, since: timedelta = timedelta(hours=1), pid: str | None = "headgate:wise-otter-x7k2p") -> FlowRun:
    state = State(type=kind, timestamp=NOW - since)
    return FlowRun(id=uuid4(), flow_id=uuid4(), name="wise-otter", state=state, state_type=kind, run_count=starts, infrastructure_pid=pid)


def job(flow_run: str, *conditions: tuple[str, str], active: int | None = None) -> kube.V1Job:
    found = [kube.V1JobCondition(type=kind, status=status) for kind, status in conditions]
    status = kube.V1JobStatus(conditions=found or None, active=active)
    return kube.V1Job(metadata=kube.V1ObjectMeta(labels={LABEL: flow_run}), status=status)


def test_a_job_lives_until_the_cluster_says_that_it_is_complete_or_failed() -> None:
    jobs = [job("new"), job("runs", active=1), job("paused", ("Suspended", "True")), job("undecided", ("Failed", "False"))]
    over = [job("done", ("Complete", "True")), job("broken", ("Failed", "True"))]
    assert unfinished([*jobs, *over]) == {"new", "runs", "paused", "undecided"}


def test_a_run_lives_while_any_of_its_jobs_does() -> None:
    assert unfinished([job("again", ("Failed", "True")), job("again", active=1)]) == {"again"}


@pytest.mark.parametrize(
    ("kind", "alive", "expected"),
    [
        (StateType.RUNNING, True, False),
        (StateType.RUNNING, False, True),
        (StateType.CRASHED, False, True),
        (StateType.PENDING, True, False),
        (StateType.PENDING, False, True),
    ],
)
def test_a_run_is_due_when_its_job_is_gone(kind: StateType, alive: bool, expected: bool) -> None:
    assert due(run(kind), alive, NOW) is expected


def test_a_run_whose_pod_waits_for_a_node_is_left_alone_however_long_it_takes() -> None:
    assert due(run(StateType.PENDING, starts=0, since=timedelta(days=2)), True, NOW) is False


def test_a_run_that_keeps_dying_is_given_up() -> None:
    assert due(run(StateType.CRASHED, starts=MOST_STARTS - 1), False, NOW) is True
    assert due(run(StateType.CRASHED, starts=MOST_STARTS), False, NOW) is False


def test_a_job_that_the_cluster_refuses_is_not_asked_for_again_at_once() -> None:
    assert due(run(StateType.CRASHED, starts=0, since=NEVER_BEGAN / 2), False, NOW) is False
    assert due(run(StateType.CRASHED, starts=0, since=NEVER_BEGAN * 2), False, NOW) is True


class Server:
    """Two reads of the same runs, and what was set: enough of Prefect to show what happens between the reads."""

    def __init__(self, first: list[FlowRun], then: dict[Any, FlowRun]) -> None:
        self.first, self.then, self.set = first, then, []

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        return self.first

    def read_flow_run(self, flow_run_id: Any) -> FlowRun:
        return self.then[flow_run_id]

    def set_flow_run_state(self, flow_run_id: Any, state: State, force: bool) -> OrchestrationResult | None:
        self.set.append((flow_run_id, state.name, force))
        return None


def test_a_run_that_ends_while_its_job_is_looked_for_is_not_started_again() -> None:
    dead, ended = run(StateType.RUNNING), run(StateType.RUNNING)
    done = ended.model_copy(update={"state": State(type=StateType.COMPLETED, timestamp=NOW), "state_type": StateType.COMPLETED})
    server = Server([dead, ended], {dead.id: dead, ended.id: done})
    said = recover(server, lambda: frozenset())  # type: ignore[arg-type]  # a client of two reads
    assert server.set == [(dead.id, "AwaitingRetry", True)]
    assert said == [f"flow run wise-otter ({dead.id}) lost its Job in start 1; it starts again"]

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Crashed, Pending, Running, Scheduled, Suspended

from stack.recovery import lost

NOW = datetime.now(UTC)


def _run(state, pid="4711"):
    return FlowRun(flow_id=uuid4(), state=state, state_type=state.type, infrastructure_pid=pid)


@pytest.mark.parametrize(
    ("state", "alive", "expected"),
    [
        (Running(), True, False),
        (Running(), False, True),
        (Crashed(), False, True),
        (Suspended(timeout_seconds=60), False, False),
        (Scheduled(), False, False),
    ],
    ids=["runs", "was killed", "crashed", "waits for approval", "not started yet"],
)
def test_only_a_run_whose_process_is_gone_is_lost(state, alive, expected):
    assert lost(_run(state), alive, NOW) is expected


def test_a_run_that_never_had_a_process_of_ours_is_left_alone():
    assert lost(_run(Running(), pid=None), False, NOW) is False


def test_a_run_that_stays_pending_was_taken_by_a_worker_that_died():
    taken = Pending()
    assert lost(_run(taken), False, taken.timestamp + timedelta(seconds=30)) is False
    assert lost(_run(taken), False, taken.timestamp + timedelta(minutes=3)) is True


def test_a_run_that_stays_pending_because_its_process_is_slow_to_start_is_left_alone():
    taken = Pending()
    assert lost(_run(taken), True, taken.timestamp + timedelta(minutes=3)) is False

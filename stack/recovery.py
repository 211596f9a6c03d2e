"""Starts flow runs again whose process was killed, and gives up on one that keeps dying.

Prefect marks such a run Crashed at best and leaves it so; kill -9 of worker and flow leaves it Running for ever.
A run that is set to AwaitingRetry is picked up by the worker, and its finished tasks are found in their results.
"""

import logging
import time
from datetime import UTC, datetime, timedelta

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry

from headgate.release.training_ledger import MOST_STARTS

PAUSE_S = 5.0
LONGEST_PENDING = timedelta(minutes=2)
log = logging.getLogger("headgate.recovery")


def lost(run: FlowRun, alive: bool, now: datetime) -> bool:
    """Whether a run's process is gone although the run did not end; a run that was never given a process is none of ours.

    A run that stays Pending was taken by a worker that died before it started the process, unless its process is only slow to start.
    """
    if run.state is None or run.state_type == StateType.CRASHED:
        return run.state is not None
    if run.state_type == StateType.PENDING:
        return not alive and now - run.state.timestamp > LONGEST_PENDING
    return run.state_type == StateType.RUNNING and bool(run.infrastructure_pid) and not alive


def recover(client: SyncPrefectClient) -> list[str]:
    """Start every lost run again once; says what it did."""
    said = []
    for run in open_or_crashed(client):
        if not lost(run, _alive(run), datetime.now(UTC)) or run.run_count >= MOST_STARTS:
            continue
        client.set_flow_run_state(run.id, AwaitingRetry(message="its process was killed"), force=True)
        said.append(f"flow run {run.name} ({run.id}) lost its process in start {run.run_count}; it starts again")
    return said


def open_or_crashed(client: SyncPrefectClient) -> list[FlowRun]:
    """The runs that may have lost what they run in."""
    kinds = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CRASHED])
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=kinds)))


def _alive(run: FlowRun) -> bool:
    """Whether the run's process is there and still is one of Prefect's (ids are used again)."""
    pid = (run.infrastructure_pid or "").rpartition(":")[2]
    try:
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and any("prefect" in word for word in process.cmdline())
    except (ValueError, psutil.Error):
        return False


def main() -> None:
    """Look every few seconds until stopped."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with get_client(sync_client=True) as client:
        while True:
            try:
                for line in recover(client):
                    log.info(line)
            except Exception as fault:
                log.warning("could not look: %s", fault)
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
